"""What the commands do, as generators of events that return a result; nothing here prints."""
