"""What the ciphertext-only attacks compute: arrays in, guesses out, no cipher and no key."""
