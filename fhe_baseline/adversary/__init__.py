"""What an adversary does to the homomorphic side: pure functions, run on real ciphertexts.

Each file is one attack or one look at the boundary; ``fhe_baseline.checks`` turns what they return
into findings of an audit.
"""
