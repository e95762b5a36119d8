"""Sections of the report, one file each; a function ``sections(view)`` returns them in order."""
