"""A document as nodes, before any format."""
