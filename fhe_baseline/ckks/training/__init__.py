"""Logistic regression trained on ciphertexts: keys and data go up once, the server computes.

``steps`` says what is computed and where the client is visited, ``circuit`` all of it that is
public, ``scales`` and ``diagonals`` how numbers lie in ciphertexts; ``preparing`` and ``choosing``
make the task in the clear. ``gradient`` and ``descent`` compute on ciphertexts in the ``server``
(whose processes have ``shares``), ``clear_references`` in float64; ``client`` holds the secret key;
``rounds`` is the protocol, which survives a server that dies.
"""
