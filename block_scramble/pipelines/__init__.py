"""Pipelines of the block-scramble side, one file each."""
