"""Acts on a user's files with a way back: each step is in a journal before it is taken, and can be undone."""
