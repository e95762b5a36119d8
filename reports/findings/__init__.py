"""Rules that make findings from records: on security, on accuracy, on encrypted training."""
