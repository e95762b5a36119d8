"""Judges finished runs: scores, verification, limits, differences, tables."""
