"""Logistic regression trained on ciphertexts: data and labels go up once, the server computes.

``circuit`` says what is computed, ``scales`` and ``diagonals`` how numbers lie in ciphertexts;
``gradient`` and ``descent`` compute on ciphertexts in the ``server`` (whose processes have
``shares``), ``clear_references`` in float64; ``client`` holds the secret key and refreshes the
weights between ``rounds``, which survive a server that dies.
"""
