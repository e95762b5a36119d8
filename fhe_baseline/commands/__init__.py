"""Commands of this floor that `compare` finds by name: one file is one command."""
