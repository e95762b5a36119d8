"""Public references: images that an attacker may have, with where they come from and their kind."""
