"""`train`: contrastive training, from pairs to a model."""
