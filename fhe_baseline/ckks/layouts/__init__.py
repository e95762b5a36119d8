"""How values lie in the slots of a ciphertext, and at which scale."""
