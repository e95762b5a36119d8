"""What an open dataset is: indexed files or arrays, labels, splits, choice, inspection."""
