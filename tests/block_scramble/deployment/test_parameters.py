"""Parameters that cannot be are refused before any work, with the way out."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from he_compare.block_scramble.ciphers.vit_block import CIPHER as VIT_BLOCK
from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters
from he_compare.block_scramble.pipelines.block_scramble import PIPELINE
from he_compare.common.contracts import Parameters
from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.comparisons.measuring.pipeline_spec import parse_spec, resolve_parameters
from tests.support.runcontext import Bench
from tests.support.scrambling import fit


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"cipher": "vit_blok"}, "did you mean 'vit_block'"),
        ({"cipher": "ffx", "mode": "adapted"}, "not affine"),
        ({"cipher": "aes_ctr", "mode": "adapted"}, "another one for every image"),
        ({"cipher": "shf", "fraction": 0.5}, "no parameter 'fraction'"),
        ({"cipher": "noise", "wrong_key": True}, "has no key"),
        ({"cipher": "identity", "clients": 2}, "has no key"),
        ({"wrong_key": True, "clients": 2}, "two different tests"),
        ({"sharing": "apart"}, "needs two clients"),
        ({"clients": 2, "mode": "adapted"}, "equals two separate runs"),
        ({"cipher": "noise", "mode": "adapted"}, "does not depend on the image"),
        ({"mode": "adapted", "embedding": "fresh"}, "embedding applies to mode=trained"),
        ({"mode": "adapted", "key_policy": "per_image"}, "every image has another"),
        ({"cipher": "identity", "key_policy": "per_image"}, "has no key"),
        ({"cipher": "vit_block", "mix_channels": True}, "no parameter 'mix_channels'"),
        ({"cipher": "identity", "negative_positive": True}, "no parameter 'negative_positive'"),
        ({"colour": True}, "'vit_block' has no parameter 'colour'"),
        ({"cipher": "orthogonal", "fraction": 2}, "cannot take fraction=2"),
        ({"key": "seeded:4294967296"}, "4294967296 is out of range"),
        ({"key": "mine"}, "neither 'client' nor 'seeded:N'"),
    ],
)
def test_parameters_that_cannot_be_are_refused_before_any_work(
    parameters: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError) as caught:
        BlockScrambleParameters(**parameters)
    assert reason in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    "parameters",
    [{"mode": "guessed"}, {"key_policy": "none"}, {"patch": 1}, {"patch": 1000}],
)
def test_values_out_of_range_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BlockScrambleParameters(**parameters)


def test_cipher_names_are_spelled_either_way() -> None:
    assert BlockScrambleParameters(cipher="al-amin").cipher == "al_amin"
    with pytest.raises(UnknownNameError, match="known: aes_ctr"):
        BlockScrambleParameters(cipher="zzz")


def test_patches_that_do_not_fit_the_image_are_refused(bench: Bench) -> None:
    with pytest.raises(UsageError, match=r"patch 5 does not divide the image size 32.*2, 4, 8, 16"):
        fit(bench, patch=5)
    with pytest.raises(UsageError, match="patch 16 does not divide the image size 40"):
        fit(bench, bench.context(image_size=40))


def test_a_specification_takes_exactly_the_options_of_its_cipher() -> None:
    spec = parse_spec("block-scramble[cipher=al_amin,mix_channels=false,patch=8]")
    resolved = resolve_parameters(PIPELINE, spec)
    assert resolved.model_dump()["mix_channels"] is False
    misspelt = parse_spec("block-scramble[cipher=al_amin,mix_chanels=false]")
    with pytest.raises(UnknownNameError, match="did you mean 'mix_channels'"):
        resolve_parameters(PIPELINE, misspelt)
    of_another = parse_spec("block-scramble[mix_channels=false]")
    with pytest.raises(UnknownNameError, match="no parameter 'mix_channels'"):
        resolve_parameters(PIPELINE, of_another)


class Namesake(type(VIT_BLOCK)):  # type: ignore[misc]
    """A cipher with an option that the pipeline has, too."""

    name = "namesake"

    class Options(Parameters):
        """Collides with the pipeline's."""

        patch: int = 16
        mode: int = 1

    parameters = Options


def test_an_option_of_a_cipher_that_hides_a_parameter_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BlockScrambleParameters, "load_cipher", lambda self: Namesake())
    with pytest.raises(UsageError, match="option 'mode' of cipher 'namesake'"):
        BlockScrambleParameters()
