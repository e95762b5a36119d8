"""Homomorphic encryption: features at the client, a head on ciphertexts at the server."""
