"""The soak: kills, crashes, hostile bytes, edits and simultaneous starts, counted by one command."""
