"""Decodes images and resizes them to a model's input size, in threads."""
