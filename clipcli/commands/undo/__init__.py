"""`undo`: brings back what a command did to files, from its journal."""
