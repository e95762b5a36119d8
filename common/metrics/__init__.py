"""Metrics with intervals, one file a family."""
