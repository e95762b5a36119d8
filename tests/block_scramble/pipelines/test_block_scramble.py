"""The block-scramble pipeline learns at a server, adapts a plain ViT exactly, times its stages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters
from he_compare.block_scramble.pipelines.block_scramble import PIPELINE
from he_compare.common.clock import Clock
from he_compare.common.contracts import RunContext, TrainingData
from he_compare.common.datasets.chestxray import CARD
from he_compare.common.datasets.embedded.atlas import sample
from he_compare.common.errors import UsageError
from he_compare.common.references.held_images import Held, TrainingSplit
from he_compare.common.references.opening import reference_to_match
from he_compare.common.references.reference import Domain, Public
from he_compare.common.references.synthetic_chest import SyntheticChest
from he_compare.common.service.wire import unpack
from he_compare.common.types import HeldPictures, ImageBatch, Side, Stage
from tests.support.runcontext import Bench
from tests.support.scrambling import TEST, fit, scores_of


def test_server_learns_from_ciphertexts_what_the_client_reads_back(bench: Bench) -> None:
    context = bench.context(epochs=4)
    fitted = fit(bench, context, negative_positive=False, key="seeded:1")
    scores = scores_of(bench, fitted.deploy(context), TEST.images[:])
    assert scores.shape == (20, 2)
    assert (scores.argmax(axis=1) == TEST.labels).mean() >= 0.9
    assert fitted.clear_reference(TEST.images[:]) is None
    training = context.training
    assert training["epochs"] == len(training["history"]) <= 4
    assert 1 <= training["best_epoch"] <= training["epochs"]
    assert training["augmentation"] == "none"
    assert "client alone" in training["key_holder"]
    assert training["payload_upload_bytes"] > 44 * 32 * 32 * 3
    assert [server.closed for server in bench.servers] == [True, False]


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"negative_positive": True},
        {"cipher": "al_amin", "mix_channels": False},
        {"cipher": "al_amin", "shared_pixel_key": False, "nibble_split": True},
        {"cipher": "tanaka_le", "mask_from_order": True},
        {"cipher": "madono_ele"},
        {"cipher": "pixel_np"},
        {"cipher": "etc"},
        {"cipher": "shf"},
        {"cipher": "np"},
        {"cipher": "orthogonal"},
        {"cipher": "orthogonal", "fraction": 0.5},
        {"cipher": "restricted", "fraction": 0.25},
        {"cipher": "identity"},
    ],
    ids=str,
)
def test_adapted_pipeline_reproduces_the_plain_vit(
    bench: Bench, parameters: dict[str, Any]
) -> None:
    context = bench.context(epochs=1)
    fitted = fit(bench, context, mode="adapted", **parameters)
    scores = scores_of(bench, fitted.deploy(context), TEST.images[:])
    reference = fitted.clear_reference(TEST.images[:])
    assert reference is not None and reference[0] == "plain ViT"
    assert np.abs(scores - reference[1]).max() < 1e-4
    assert (scores.argmax(axis=1) == reference[1].argmax(axis=1)).all()
    assert "holds the key and the plain model" in context.training["key_holder"]


def test_cost_of_an_adapted_embedding_is_in_the_record(bench: Bench) -> None:
    facts = []
    for cipher in ("vit_block", "madono_ele"):
        context = bench.context(epochs=1)
        fit(bench, context, mode="adapted", cipher=cipher)
        facts.append(context.training)
    assert [fact["patch_embeddings"] for fact in facts] == [1, 4]
    assert facts[0]["patch_embedding_parameters"] == 769 * 192
    assert facts[1]["patch_embedding_parameters"] == 4 * 1537 * 192


RADIOGRAPHS = sample(48, 3, 64)
SAME_KIND = Public(SyntheticChest(), Domain.IN_DOMAIN, "synthetic-chest")


@pytest.mark.parametrize(
    ("parameters", "start", "fitted", "reference"),
    [
        ({}, "solved", "solved from the ciphertexts alone", None),
        (
            {"cipher": "madono_ele"},
            "fresh",
            "random weights: the ciphertexts were not solved, and they did not match the reference",
            ("natural", "foreign"),
        ),
        (
            {"embedding": "matched"},
            "fresh",
            "random weights: ciphertexts did not match the reference",
            ("natural", "foreign"),
        ),
        (
            {"embedding": "matched_in_domain"},
            "matched",
            "matched to public images by moments",
            ("synthetic-chest", "in-domain"),
        ),
        ({"embedding": "fresh"}, "fresh", "fitted from random weights", None),
    ],
)
def test_record_says_what_the_patch_embedding_started_from(
    bench: Bench,
    parameters: dict[str, Any],
    start: str,
    fitted: str,
    reference: tuple[str, str] | None,
) -> None:
    context = radiograph_context(bench)
    PIPELINE.fit(radiographs(), BlockScrambleParameters(key="seeded:1", **parameters), context)
    training = context.training
    assert training["embedding_start"] == start and fitted in training["patch_embedding"]
    mirrored = "random horizontal flips of what was solved"
    assert training["augmentation"] == (mirrored if start == "solved" else "none")
    assert ("solved_agreement" in training) == ("embedding" not in parameters)
    if reference is None:
        assert not any(name.startswith("matching_") for name in training)
    else:
        name, domain = reference
        assert training["matching_reference"] == name
        assert training["matching_reference_domain"] == domain
        assert len(training["matching_reference_digest"]) == 64
        assert (training["matching_agreement"] >= 0.5) == (start == "matched")


def radiographs(same_kind: Public | None = SAME_KIND) -> TrainingData:
    images = ImageBatch(RADIOGRAPHS.ids, RADIOGRAPHS.images, RADIOGRAPHS.labels, RADIOGRAPHS.groups)
    public = reference_to_match((), CARD)
    val = images.take(slice(0, 16))
    return TrainingData(images, val, ("0", "1"), "radiographs", public, same_kind)


def radiograph_context(bench: Bench) -> RunContext:
    backbone = "deit_tiny_distilled_patch16_224"
    return bench.context(epochs=1, image_size=64, weights="shipped", backbone=backbone)


def test_training_images_as_a_reference_are_told_as_an_upper_bound(bench: Bench) -> None:
    given = TrainingSplit(
        "split", lambda _: Held(RADIOGRAPHS.ids, HeldPictures(RADIOGRAPHS.images))
    )
    public = Public(given, Domain.IN_DOMAIN, "train")
    context = radiograph_context(bench)
    asked = BlockScrambleParameters(key="seeded:1", embedding="matched_in_domain")
    PIPELINE.fit(radiographs(public), asked, context)
    assert context.training["matching_reference"] == "train"
    assert context.training["matching_reference_domain"] == "in-domain"
    assert any("this is an upper bound" in one for one in context.warnings)
    with pytest.raises(UsageError, match="needs images of the same kind"):
        PIPELINE.fit(radiographs(None), asked, radiograph_context(bench))


def test_what_was_solved_answers_as_the_pictures_under_the_plain_model_would(bench: Bench) -> None:
    context = radiograph_context(bench)
    asked = BlockScrambleParameters(key="seeded:1", cipher="etc")
    fitted = PIPELINE.fit(radiographs(), asked, context)
    assert context.training["embedding_start"] == "solved"
    scores = scores_of(bench, fitted.deploy(context), RADIOGRAPHS.images[:16])
    val = context.training["history"][context.training["best_epoch"] - 1]
    labels = RADIOGRAPHS.labels[:16]
    right = scores.argmax(axis=1) == labels
    recalls = [right[labels == label].mean() for label in (0, 1)]
    assert float(np.mean(recalls)) == pytest.approx(val["val_balanced_accuracy"])


@pytest.mark.parametrize("cipher", ["orthogonal", "aes_ctr", "ffx"])
def test_server_trains_on_every_kind_of_ciphertext(bench: Bench, cipher: str) -> None:
    context = bench.context(epochs=1)
    fitted = fit(bench, context, cipher=cipher, key="seeded:1")
    scores = scores_of(bench, fitted.deploy(context), TEST.images[:])
    assert scores.shape == (20, 2) and np.isfinite(scores).all()
    pictures = fitted.protected_picture(TEST.images[:2])
    assert pictures is not None and pictures.dtype == np.uint8
    kinds = {
        array.dtype.name
        for message in bench.crossing.messages
        for name, array in unpack(message)[0].items()
        if name.startswith("ciphertext")
    }
    assert kinds == {"float32" if cipher == "orthogonal" else "uint8"}
    nonces = ["nonce" in unpack(message)[1] for message in bench.crossing.messages[-20:]]
    assert all(nonces) if cipher == "aes_ctr" else not any(nonces)


def test_stages_are_timed_where_they_happen(bench: Bench) -> None:
    context = bench.context(epochs=1)
    fitted = fit(bench, context, mode="trained")
    assert {(stage, side) for stage, side, _ in context.clock.samples} == {
        (Stage.ENCRYPT, Side.CLIENT),
        (Stage.SERIALIZE, Side.CLIENT),
        (Stage.DESERIALIZE, Side.SERVER),
        (Stage.FIT, Side.SERVER),
    }
    context.clock = Clock(Side.CLIENT)
    deployment = fitted.deploy(context)
    assert [stage for stage, _, _ in context.clock.samples] == [Stage.KEYGEN]
    server = bench.start(PIPELINE.name, deployment.public_material)
    clock = Clock(Side.CLIENT)
    deployment.client.reveal(
        server.call("infer", deployment.client.protect(TEST.images[:], clock), clock), clock
    )
    assert [(stage.value, side.value) for stage, side, _ in clock.samples] == [
        ("encrypt", "client"),
        ("serialize", "client"),
        ("deserialize", "server"),
        ("evaluate", "server"),
        ("serialize", "server"),
        ("decode", "client"),
    ]
    assert {count for counts in clock.items.values() for count in counts} == {20}


def test_inference_is_deterministic_and_one_reply_answers_each_message(bench: Bench) -> None:
    context = bench.context(epochs=1)
    deployment = fit(bench, context, mode="adapted").deploy(context)
    server = PIPELINE.load_server(deployment.public_material)
    messages = deployment.client.protect(TEST.images[:], Clock(Side.CLIENT))
    first = server.infer(messages, Clock(Side.SERVER))
    assert first == server.infer(messages, Clock(Side.SERVER))
    assert len(first) == 20
    assert server.infer([], Clock(Side.SERVER)) == []
    logits = unpack(first[0])[0]["logits"]
    assert (logits.dtype, logits.shape) == (np.dtype("float32"), (2,))


def test_importing_the_pipeline_does_not_import_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, he_compare.block_scramble.pipelines.block_scramble as b;"
        "b.PIPELINE.parameters(cipher='al_amin');"
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
