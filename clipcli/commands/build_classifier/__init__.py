"""`build-classifier`: from labels and prompts to a file of class embeddings."""
