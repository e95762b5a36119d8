"""The text of a circuit as it may come from outside: an allow-list of tokens, and limits.

A server compiles the MLIR text of its circuit to machine code. MLIR can also call C functions, so
text from outside is taken only if every token of it belongs to the few operations that Concrete ML
writes for linear models and their training, on tensors of bounded size. Line breaks mean nothing in
MLIR: the check is on tokens, not on lines.

MLIR's parser ends the process on some texts that do not parse to their end: a value that is made
twice was enough. So every value must be made once and before it is used, and one function in one
module must hold it all.
"""

from __future__ import annotations

import math
import re

from he_compare.common.errors import MessageError

MAX_TEXT_BYTES = 4 << 20
MAX_TENSOR_ELEMENTS = 1 << 20
MAX_INTEGER_BITS = 64

_FHE = {"FHE.zero_tensor"} | {
    f"FHELinalg.{name}"
    for name in (
        *("add_eint", "add_eint_int", "sub_eint", "sub_eint_int", "mul_eint_int"),
        *("matmul_eint_int", "sum", "transpose", "to_signed", "to_unsigned"),
        *("round", "reinterpret_precision", "apply_lookup_table"),
    )
}
_BUILTIN = {"func.func", "arith.constant"} | {
    f"tensor.{name}"
    for name in (
        *("from_elements", "extract_slice", "insert_slice"),
        *("collapse_shape", "expand_shape"),
    )
}
_WORDS = {"module", "return", "tensor", "dense", "to", "into", "true", "false"} | {
    *("axes", "keep_dims"),
}
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<value>%\w+(?:-\d\w*)?)
    |(?P<symbol>@[A-Za-z_]\w*)
    |(?P<data>"0x[0-9A-Fa-f]*")
    |(?P<operation>"[A-Za-z]\w*\.\w+")
    |(?P<type>!FHE\.e(?:s)?int<\d+>)
    |(?P<shape>(?:\d+x)+)
    |(?P<number>-?\d+)
    |(?P<word>[A-Za-z_]\w*(?:\.\w+)*)
    |(?P<sign>->|[()\[\]{}<>:,=])""",
    re.VERBOSE,
)


def check_circuit(text: str) -> None:
    """Refuse a circuit's text with anything in it that is not on the list. Raises MessageError."""
    if len(text) > MAX_TEXT_BYTES:
        raise MessageError(f"circuit of {len(text)} characters, more than {MAX_TEXT_BYTES}")
    position, tokens = 0, []
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise MessageError(f"circuit holds {text[position : position + 20]!r}")
        kind = str(token.lastgroup)
        _check_token(kind, token.group())
        if kind != "space":
            tokens.append((kind, token.group()))
        position = token.end()
    _check_whole([word for _, word in tokens])
    _check_values(tokens)


def _check_whole(words: list[str]) -> None:
    """Refuse anything but one module with one function that ends with its only return."""
    functions = words.count("func.func")
    if functions != 1:
        raise MessageError(f"circuit holds {functions} functions, not one")
    if words.count("module") > 1 or words.count("return") != 1:
        raise MessageError("circuit is not one module with one function that returns once")
    depth = 0
    for place, word in enumerate(words):
        depth += (word == "{") - (word == "}")
        if depth < 0 or (depth == 0 and word == "}" and place + 1 != len(words)):
            raise MessageError("circuit has braces that do not match")
    tail = words[words.index("return") :]
    closing = len(tail) - tail.index("}") if "}" in tail else 0
    if depth or set(tail[-closing or len(tail) :]) != {"}"} or "=" in tail:
        raise MessageError("circuit goes on after its return, or does not end")


def _check_values(tokens: list[tuple[str, str]]) -> None:
    """Refuse a value that is made twice, or used before it is made."""
    words = [word for _, word in tokens]
    body = words.index("{", words.index("func.func"))
    made: set[str] = set()
    pending = ""  # what the operation that is being read makes: it cannot use it itself
    for place, (kind, word) in enumerate(tokens):
        if word == "return":
            made.add(pending)
        if kind != "value":
            continue
        argument = place < body
        if argument or words[place + 1 : place + 2] == ["="]:
            made.add(pending)
            if word in made:
                raise MessageError(f"circuit makes the value {word[:40]} twice")
            pending = word
        elif word not in made:
            raise MessageError(f"circuit uses the value {word[:40]} before it is made")


def _check_token(kind: str, token: str) -> None:
    if kind == "operation" and token.strip('"') not in _FHE:
        raise MessageError(f"circuit asks for the operation {token[:60]}")
    if kind == "word" and token not in _WORDS | _BUILTIN and not _is_integer_type(token):
        raise MessageError(f"circuit holds the word {token[:60]!r}")
    if kind == "type" and not 1 <= int(token[token.index("<") + 1 : -1]) <= MAX_INTEGER_BITS:
        raise MessageError(f"circuit holds the type {token[:60]}")
    if kind == "shape":
        # More digits than the limit has are refused before they are turned into a number.
        sizes = token[:-1].split("x")
        if any(len(size) > 8 for size in sizes) or len(sizes) > 8:
            raise MessageError(f"circuit holds a tensor of {token[:60]}")
        if not 1 <= math.prod(map(int, sizes)) <= MAX_TENSOR_ELEMENTS:
            raise MessageError(f"circuit holds a tensor of {token[:60]}")


def _is_integer_type(word: str) -> bool:
    return bool(re.fullmatch(r"i[1-9]\d?", word)) and int(word[1:]) <= MAX_INTEGER_BITS


def function_name(text: str) -> str:
    """Return the name of the circuit's function. Raises MessageError."""
    found = re.search(r"func\.func @(\w+)\(", text)
    if found is None:
        raise MessageError("circuit names no function")
    return found.group(1)
