"""Scrambled files of somebody else: reading, attacking and writing what came out."""
