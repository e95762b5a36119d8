"""A run folder: its records, its files, and the one reader of a finished run."""
