"""The reference pipelines without any protection, one file each."""
