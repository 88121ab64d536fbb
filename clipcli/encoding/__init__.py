"""From images and prompts to embeddings, with memory, batches and engines."""
