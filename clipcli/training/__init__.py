"""Contrastive training: the loss, the gradient, the data's order, checkpoints; `pipelines.train` puts them together."""
