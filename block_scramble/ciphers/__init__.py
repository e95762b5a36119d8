"""Ciphers, one file each: encrypt, decrypt, key space and claims, all batched."""
