"""Metrics with intervals, one file per family."""
