"""What earlier runs left: models, class embeddings and image embeddings, in one cache."""
