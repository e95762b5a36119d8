"""Logistic regression trained on ciphertexts: data and labels go up once, the server computes.

``circuit`` says what is computed and at which scales; ``diagonals`` where the numbers lie in the
slots; ``server`` does it on ciphertexts, ``twin`` in float64; ``client`` holds the secret key and
refreshes the weights between rounds; ``session`` runs the protocol between the two and survives a
server that dies.
"""
