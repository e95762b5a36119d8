"""Homomorphic encryption: features at the client, a classifier head on ciphertexts at the server."""
