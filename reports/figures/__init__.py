"""Figures of a report, one file each; every function returns a matplotlib figure, never a file."""
