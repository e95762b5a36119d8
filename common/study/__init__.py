"""A study: one ordinary run per data set, read side by side."""
