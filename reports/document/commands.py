"""Commands that a reader copies from paper: long ones are continued by a backslash, as shells do.

A line that a page breaks by itself is pasted as two commands; one that ends in a backslash is not.
"""

from __future__ import annotations

WIDEST_COMMAND = 88
CONTINUATION = " \\"


def command_lines(command: str, width: int = WIDEST_COMMAND) -> list[str]:
    """Return a command as lines of at most ``width`` characters, continued by backslashes.

    It is cut at spaces outside quotes only; a word longer than a line stays whole. A comment stays
    on the line it began on.
    """
    lines: list[str] = []
    for word in _words(command):
        indent = "  " if lines else ""
        if lines and (
            word.startswith("#") or len(lines[-1]) + 1 + len(word) + len(CONTINUATION) <= width
        ):
            lines[-1] += f" {word}"
        else:
            if lines:
                lines[-1] += CONTINUATION
            lines.append(f"{indent}{word}")
    return lines


def _words(command: str) -> list[str]:
    """Cut a command at spaces outside quotes; a comment is one word."""
    words: list[str] = [""]
    quote = ""
    for place, char in enumerate(command):
        if not quote and char == "#" and not words[-1]:
            words[-1] = command[place:].strip()
            break
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        if char == " " and not quote:
            words += [""] if words[-1] else []
        else:
            words[-1] += char
    return [word for word in words if word]
