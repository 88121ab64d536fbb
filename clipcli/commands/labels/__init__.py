"""`labels`: what is wrong with a list of labels, and what would be better; or a list for photos that have none."""
