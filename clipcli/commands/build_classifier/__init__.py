"""`build-classifier`: from labels and prompts to a classifier."""
