"""The soak: kills, crashes, hostile bytes, edits and starts at once, counted by one command."""
