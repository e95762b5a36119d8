"""Circuits from outside: what Concrete ML writes passes, anything else is refused as text."""

from __future__ import annotations

import pytest

from he_compare.common.errors import MessageError
from he_compare.fhe_baseline.tfhe.circuit_text import MAX_TEXT_BYTES, check_circuit, function_name

CIRCUIT = """module {
  func.func @inference_to_compile(%arg0: tensor<1x6x!FHE.esint<16>>) -> tensor<1x1x!FHE.esint<16>> {
    %cst = arith.constant dense<[[-128], [127], [0], [1], [-7], [9]]> : tensor<6x1xi9>
    %0 = "FHELinalg.matmul_eint_int"(%arg0, %cst) : (tensor<1x6x!FHE.esint<16>>, tensor<6x1xi9>) -> tensor<1x1x!FHE.esint<16>>
    %1 = "FHELinalg.sum"(%arg0) {axes = [1], keep_dims = true} : (tensor<1x6x!FHE.esint<16>>) -> tensor<1x1x!FHE.esint<16>>
    %c-3_i3 = arith.constant -3 : i3
    %cst_0 = arith.constant dense<"0x80017F00"> : tensor<1x1xi11>
    return %0 : tensor<1x1x!FHE.esint<16>>
  }
}"""  # noqa: E501


def test_a_linear_circuit_of_concrete_ml_passes() -> None:
    check_circuit(CIRCUIT)
    assert function_name(CIRCUIT) == "inference_to_compile"


@pytest.mark.parametrize(
    ("inserted", "complaint"),
    [
        ("llvm.func @system(!llvm.ptr) -> i32", "'llvm.func'"),
        ('%9 = "llvm.call"(%0) {callee = @system} : (i32) -> i32', "llvm.call"),
        ('%9 = "FHE.unknown"(%0) : () -> ()', "FHE.unknown"),
        ("func.call @system()", "'func.call'"),
        ("func.func private @system(i32) -> i32", "'private'"),
        ("scf.while", "'scf.while'"),
        ("%9 = arith.constant 1.5 : f64", "holds"),
        ("#map = affine_map<(d0) -> (d0)>", "holds '#map"),
        ('%9 = arith.constant "text"', "holds"),
        ("// comment", "holds '//"),
        ("%9 = tensor.from_elements %0 : tensor<999999999x1xi3>", "tensor of 999999999x1x"),
        ("%9 = tensor.from_elements %0 : tensor<2048x2048xi3>", "tensor of 2048x2048x"),
        ("%9 = tensor.from_elements %0 : tensor<0x3xi3>", "tensor of 0x3x"),
        ("%9 = arith.constant 1 : i128", "'i128'"),
        ("%9 : !FHE.eint<4096>", "FHE.eint<4096>"),
        ("func.func @second()", "2 functions"),
        ("\x00", "holds"),
    ],
)
def test_anything_else_in_a_circuit_is_refused(inserted: str, complaint: str) -> None:
    for text in (
        CIRCUIT.replace("return", f"{inserted}\n    return"),
        CIRCUIT.replace("    %c-3_i3", f"    {inserted} %c-3_i3"),
    ):
        with pytest.raises(MessageError, match="circuit") as refused:
            check_circuit(text)
        assert complaint in str(refused.value)


LINES = CIRCUIT.splitlines(keepends=True)


def moved(lines: list[str], start: int, stop: int) -> list[str]:
    return [*lines[:start], *lines[start + 1 : stop + 1], lines[start], *lines[stop + 1 :]]


@pytest.mark.parametrize("number", range(2, 7))
def test_a_value_that_is_made_twice_is_refused(number: int) -> None:
    """MLIR's parser ends the process on a repeated line."""
    for place in range(number, 7):
        text = "".join([*LINES[: place + 1], LINES[number], *LINES[place + 1 :]])
        with pytest.raises(MessageError, match="twice"):
            check_circuit(text)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (moved(LINES, 2, 3), "before it is made"),
        ([*LINES[:3], *LINES[4:]], "before it is made"),
        ([line.replace("(%arg0)", "(%1)") for line in LINES], "before it is made"),
        ([line.replace("%arg0: ", "%0: ") for line in LINES], "before it is made|twice"),
        ([line.replace("return %0", "return %9") for line in LINES], "before it is made"),
        ([*LINES[:-2], LINES[-3], *LINES[-2:]], "returns once"),
        ([*LINES[:-3], *LINES[-2:]], "returns once"),
        (LINES[:-1], "braces|does not end"),
        ([*LINES, "}"], "braces"),
        (["}", *LINES], "braces"),
        ([*LINES[:1], "module {", *LINES[1:], "}"], "one module"),
        ([*LINES[:-2], "%8 = arith.constant 1 : i3\n", *LINES[-2:]], "goes on after"),
    ],
)
def test_a_circuit_that_is_not_whole_is_refused(lines: list[str], complaint: str) -> None:
    with pytest.raises(MessageError, match=complaint):
        check_circuit("".join(lines))


def test_no_text_and_too_much_text_are_refused() -> None:
    with pytest.raises(MessageError, match="0 functions"):
        check_circuit("")
    with pytest.raises(MessageError, match="characters, more than"):
        check_circuit(" " * (MAX_TEXT_BYTES + 1))
    with pytest.raises(MessageError, match="names no function"):
        function_name("module { }")
