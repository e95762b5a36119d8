"""What is trained once and used again, and what is trained anew because an input differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters
from he_compare.block_scramble.keys import key_files
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.block_scramble.pipelines.block_scramble import PIPELINE
from tests.support.runcontext import Bench
from tests.support.scrambling import TEST, fit, scores_of


def test_cells_are_keyed_by_the_fingerprint_of_the_key(tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    inputs = PIPELINE.identity_inputs(BlockScrambleParameters(), path)
    assert inputs == {"client key": key_files.load(path).fingerprint}
    key_files.rotate(path)
    assert PIPELINE.identity_inputs(BlockScrambleParameters(), path) != inputs
    seeded = PIPELINE.identity_inputs(BlockScrambleParameters(key="seeded:3"), path)
    assert seeded == {"client key": ClientKey.from_seed(3).fingerprint}


def test_cells_are_keyed_by_the_code_of_their_cipher() -> None:
    first, second = (
        PIPELINE.source_modules(BlockScrambleParameters(cipher=name)) for name in ("np", "shf")
    )
    assert set(first) ^ set(second) == {
        "he_compare.block_scramble.ciphers.np",
        "he_compare.block_scramble.ciphers.shf",
    }


def test_all_adapted_ciphers_share_one_plain_model(bench: Bench) -> None:
    for parameters in ({}, {"cipher": "al_amin"}, {"key": "seeded:3"}):
        fit(bench, bench.context(epochs=1), mode="adapted", **parameters)
    assert bench.artefacts.made == ["plain-vit"]


def test_training_is_done_once_for_equal_inputs_and_again_for_others(bench: Bench) -> None:
    def states(**parameters: Any) -> bytes:
        changes = {name: parameters.pop(name) for name in ("seed", "epochs") if name in parameters}
        context = bench.context(**({"epochs": 1} | changes))
        deployment = fit(bench, context, **parameters).deploy(context)
        assert context.training["history"]
        return deployment.public_material

    first = states()
    assert states() == first
    assert len(bench.artefacts.made) == 1
    others: list[dict[str, Any]] = [
        {"seed": 1},
        {"epochs": 2},
        {"key": "seeded:1"},
        {"cipher": "al_amin"},
        {"key_policy": "per_image"},
        {"negative_positive": True},
    ]
    for number, changed in enumerate(others, start=2):
        states(**changed)
        assert len(bench.artefacts.made) == number


def test_same_key_file_and_seed_give_the_same_predictions_in_another_run(tmp_path: Path) -> None:
    for policy in ("per_client", "per_image"):
        for cipher in ("vit_block", "noise") if policy == "per_client" else ("vit_block",):
            scores = []
            for _ in range(2):
                bench = Bench(tmp_path)
                context = bench.context(epochs=1)
                fitted = fit(bench, context, cipher=cipher, key_policy=policy)
                scores.append(scores_of(bench, fitted.deploy(context), TEST.images[:]))
            assert (scores[0] == scores[1]).all()
