"""What is said of a finished run: scores, verification, limits, differences, tables."""
