"""The version of clipcli."""

__version__ = "0.1.0"
