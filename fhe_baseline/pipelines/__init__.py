"""Pipelines of the homomorphic side, one file each."""
