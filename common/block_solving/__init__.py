"""Reads scrambled blocks from ciphertexts alone: first their inside, then where they belong."""
