"""`embed`: the embeddings of images or of texts, in a file that other tools read."""
