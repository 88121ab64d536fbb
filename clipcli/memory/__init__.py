"""Memory of earlier runs: model facts, class embeddings and image embeddings, in one cache."""
