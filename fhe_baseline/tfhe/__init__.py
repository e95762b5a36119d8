"""Heads evaluated and trained under TFHE with Concrete ML, client and server apart."""
