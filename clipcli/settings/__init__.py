"""Declares each command's settings once, for its flags, help, YAML, Python API and reference.

Settings are a frozen dataclass per command:

    @record
    class ClassifySettings(Settings):
        command = "classify"

        top_k: int = setting(default=1, group="output", metavar="K", least=1)
        \"\"\"How many labels each image gets, best first.\"\"\"

The text below a field is its help. A record checks its values and converts each to one form, wherever they come from:
`ClassifySettings(top_k=0)` raises `UsageError`.
"""

from clipcli.settings.api import Show, api, method
from clipcli.settings.described import GROUPS, Described, described
from clipcli.settings.record import Settings, about, build_record, check_names, flag, record, setting
from clipcli.settings.values import AsNumberOrText, AsText, AsTexts, Reads, as_text, as_texts, several
from clipcli.settings.written import as_dict, read_yaml, to_yaml

__all__ = [
    "GROUPS",
    "AsNumberOrText",
    "AsText",
    "AsTexts",
    "Described",
    "Reads",
    "Settings",
    "Show",
    "about",
    "api",
    "as_dict",
    "as_text",
    "as_texts",
    "build_record",
    "check_names",
    "described",
    "flag",
    "method",
    "read_yaml",
    "record",
    "setting",
    "several",
    "to_yaml",
]
