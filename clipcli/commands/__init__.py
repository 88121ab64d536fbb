"""The commands, a package each, as generators of events that return a result. Nothing here prints."""
