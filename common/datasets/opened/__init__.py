"""What an open dataset is: files with labels, splits, choice, fingerprint, inspection."""
