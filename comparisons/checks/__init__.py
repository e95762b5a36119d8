"""Checks of any target, plug-ins of the kind ``checks``: they examine instead of guessing."""
