"""Text and names from outside as LaTeX: nothing in them can be a command.

What pdfTeX has no letter for in its Latin fonts is spelled out as its code point, so that a
document compiles whatever a class or a pipeline is called.
"""

from __future__ import annotations

import re

ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    # Two of them would become a dash.
    "-": r"{-}",
    "\u2212": r"\textminus{}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\textellipsis{}",
    "[": r"\allowbreak{}[",
    ",": r",\allowbreak{}",
}
DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def latex_escaped(text: str) -> str:
    """Return text that LaTeX prints as it is; long names may break at brackets and commas."""
    return "".join(map(_letter, text))


def _letter(char: str) -> str:
    if char in ESCAPED:
        return ESCAPED[char]
    if " " <= char <= "~" or ("\u00c0" <= char <= "\u00ff"):
        return char
    return f"{{[}}U+{ord(char):04X}{{]}}"


def macro_words(text: str) -> str:
    """Return the Latin letters and digits of a text as words of a macro: ``fhe-head`` FheHead."""
    words = re.findall(r"[A-Za-z]+|[0-9]", text)
    return "".join(DIGITS[int(one)] if one.isdigit() else one[0].upper() + one[1:] for one in words)
