"""Images decoded once and kept on disk: their file, how it is made, and who finds it again."""
