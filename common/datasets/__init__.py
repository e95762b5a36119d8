"""Dataset families, one file each."""
