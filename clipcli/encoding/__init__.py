"""From pixels and prompts to embeddings."""
