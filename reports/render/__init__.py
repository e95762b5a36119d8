"""Renderers of a document, one file a format."""
