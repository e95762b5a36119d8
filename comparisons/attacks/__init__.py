"""Attacks, one file each, and the harness that scores them."""
