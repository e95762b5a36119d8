"""Checks of the homomorphic pipelines, one file each; found by `compare audit`."""
