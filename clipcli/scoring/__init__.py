"""From embeddings to scores, and from scores to rows."""
