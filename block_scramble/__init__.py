"""Learnable image encryption: keyed block and pixel operations, and Vision Transformers on them."""
