"""A Vision Transformer and a key: adaptation, patch embeddings, what a key is to them."""
