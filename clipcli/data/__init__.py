"""Where images come from: every kind of input, read in one place."""
