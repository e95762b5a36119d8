"""The block-scramble pipeline: exact adaptation by key, training at a server, nothing leaks.

The server runs in this process here, but is built from bytes and spoken to in bytes only; all
bytes that cross are kept, so that tests can look for secrets in them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from he_compare.block_scramble.ciphers.vit_block import CIPHER as VIT_BLOCK
from he_compare.block_scramble.deployment.cipher_instance import make_instance
from he_compare.block_scramble.deployment.client import BlockScrambleClient, labelled_message
from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters
from he_compare.block_scramble.deployment.public_material import ServerMaterial, TrainingBudget
from he_compare.block_scramble.keys import key_files
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.block_scramble.pipelines.block_scramble import PIPELINE
from he_compare.common.backbones.deit import state_bytes
from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    Deployment,
    Fitted,
    Parameters,
    RunContext,
    RunSettings,
    Server,
    TrainingData,
)
from he_compare.common.datasets.embedded.atlas import sample
from he_compare.common.errors import CompareError, MessageError, UnknownNameError, UsageError
from he_compare.common.identity import key_of
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import ImageBatch, Message, Side, Split, Stage, UInt8Array
from he_compare.comparisons.measuring.config import parse_spec, resolve_parameters

# The pipeline with a server in this process ------------------------------------------------------


@dataclass
class Crossing:
    """Every byte string that crossed the trust boundary."""

    public: list[bytes] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)


@dataclass
class InProcessServer:
    """A server handle without a process: bytes in, bytes out."""

    server: Server
    crossing: Crossing
    pid: int = 0
    closed: bool = False

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        assert not self.closed and verb in self.server.verbs
        self.crossing.messages += messages
        own = Clock(Side.SERVER)
        replies: list[Message] = getattr(self.server, verb)(messages, own)
        clock.absorb(own)
        return replies

    def close(self) -> None:
        self.closed = True


@dataclass
class MemoryStore:
    """Artefacts in memory, keyed like those on disk."""

    kept: dict[str, bytes] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)

    def get_or_make(self, kind: str, inputs: Mapping[str, Any], make: Callable[[], bytes]) -> bytes:
        key = key_of(kind=kind, inputs=dict(inputs))
        if key not in self.kept:
            self.kept[key] = make()
            self.made.append(kind)
        return self.kept[key]


@dataclass
class Bench:
    """A run context with its fakes, for images of 32 pixels."""

    folder: Path
    crossing: Crossing = field(default_factory=Crossing)
    store: MemoryStore = field(default_factory=MemoryStore)
    servers: list[InProcessServer] = field(default_factory=list)

    def context(self, seed: int = 0, **changes: Any) -> RunContext:
        settings = {
            "image_size": 32,
            "backbone": "deit_tiny_patch16_224",
            "weights": "untrained",
            "epochs": 2,
            "batch_size": 16,
            "learning_rate": 3e-4,
            "threads": 1,
            "infer_batch": 8,
        }
        return RunContext(
            seed=seed,
            settings=RunSettings(**(settings | changes)),
            clock=Clock(Side.CLIENT),
            artefacts=self.store,
            cache_dir=self.folder,
            key_file=self.folder / "client.key",
            start_server=self.start,
            progress=lambda what, done, total: None,
        )

    def start(self, pipeline: str, public_material: bytes) -> InProcessServer:
        assert pipeline == PIPELINE.name
        self.crossing.public.append(public_material)
        server = InProcessServer(PIPELINE.load_server(public_material), self.crossing)
        self.servers.append(server)
        return server

    def scores(self, deployment: Deployment, images: UInt8Array) -> np.ndarray:
        server = self.start(PIPELINE.name, deployment.public_material)
        clock = Clock(Side.CLIENT)
        replies = server.call("infer", deployment.client.protect(images, clock), clock)
        return deployment.client.reveal(replies, clock)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def learnable(count: int, seed: int) -> ImageBatch:
    """Bright and dark noise: two classes that survive every permutation."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 2
    noise = random.integers(0, 90, (count, 32, 32, 3))
    images = (noise + 150 * labels[:, None, None, None]).astype(np.uint8)
    ids = tuple(f"{seed}-{i}" for i in range(count))
    return ImageBatch(ids, images, labels, ids)


DATA = TrainingData(learnable(32, 0), learnable(12, 1), ("dark", "bright"), "fingerprint")
TEST = learnable(20, 2)


def fit(bench: Bench, context: RunContext | None = None, **parameters: Any) -> Fitted:
    resolved = BlockScrambleParameters(**parameters)
    return PIPELINE.fit(DATA, resolved, context or bench.context())


def test_server_learns_from_ciphertexts_what_the_client_reads_back(bench: Bench) -> None:
    context = bench.context(epochs=4)
    fitted = fit(bench, context, negative_positive=False, key="seeded:1")
    scores = bench.scores(fitted.deploy(context), TEST.images)
    assert scores.shape == (20, 2)
    assert (scores.argmax(axis=1) == TEST.labels).mean() >= 0.9
    assert fitted.clear_reference(TEST.images) is None
    training = context.training
    assert training["epochs"] == len(training["history"]) <= 4
    assert 1 <= training["best_epoch"] <= training["epochs"]
    assert training["augmentation"] == "none"
    assert "client alone" in training["key_holder"]
    assert training["payload_upload_bytes"] > 44 * 32 * 32 * 3
    assert [server.closed for server in bench.servers] == [True, False]


def test_images_under_another_key_get_other_scores(bench: Bench) -> None:
    right, wrong = (
        fit(bench, bench.context(epochs=1), mode="adapted", key=key).deploy(bench.context())
        for key in ("seeded:1", "seeded:2")
    )
    images = np.tile(np.arange(256, dtype=np.uint8), 12).reshape(1, 32, 32, 3)
    expected = bench.scores(right, images)
    assert np.abs(bench.scores(wrong, images) - expected).max() < 1e-4
    mismatched = Deployment(wrong.client, right.public_material)
    assert np.abs(bench.scores(mismatched, images) - expected).max() > 1e-2


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
        {"cipher": "identity"},
    ],
    ids=str,
)
def test_adapted_pipeline_reproduces_the_plain_vit(
    bench: Bench, parameters: dict[str, Any]
) -> None:
    context = bench.context(epochs=1)
    fitted = fit(bench, context, mode="adapted", **parameters)
    scores = bench.scores(fitted.deploy(context), TEST.images)
    reference = fitted.clear_reference(TEST.images)
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


@pytest.mark.parametrize(
    ("parameters", "fitted"),
    [
        ({"cipher": "vit_block"}, "matched to public images by moments"),
        ({"cipher": "madono_ele"}, "ciphertexts did not match the reference"),
        ({"cipher": "vit_block", "embedding": "fresh"}, "fitted from random weights"),
    ],
)
def test_record_says_what_the_patch_embedding_started_from(
    bench: Bench, parameters: dict[str, Any], fitted: str
) -> None:
    images = ImageBatch(RADIOGRAPHS.ids, RADIOGRAPHS.images, RADIOGRAPHS.labels, RADIOGRAPHS.groups)
    data = TrainingData(images, images.take(slice(0, 16)), ("0", "1"), "radiographs")
    context = bench.context(
        epochs=1,
        image_size=64,
        weights="shipped",
        backbone="deit_tiny_distilled_patch16_224",
    )
    PIPELINE.fit(data, BlockScrambleParameters(key="seeded:1", **parameters), context)
    assert fitted in context.training["patch_embedding"]
    agreement = context.training.get("matching_agreement")
    if "embedding" in parameters:
        assert agreement is None
    else:
        assert (agreement >= 0.5) == (parameters["cipher"] == "vit_block")


@pytest.mark.parametrize("cipher", ["orthogonal", "aes_ctr", "ffx"])
def test_server_trains_on_every_kind_of_ciphertext(bench: Bench, cipher: str) -> None:
    context = bench.context(epochs=1)
    fitted = fit(bench, context, cipher=cipher, key="seeded:1")
    scores = bench.scores(fitted.deploy(context), TEST.images)
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


def test_ciphertexts_of_rotated_patches_that_are_no_numbers_are_refused(
    tiny_state: bytes,
) -> None:
    server = PIPELINE.load_server(header(ciphertext="float32").to_bytes(tiny_state))
    rotated = np.zeros((32, 32, 3), np.float32)
    server.infer([pack({"ciphertext": rotated})], Clock(Side.SERVER))
    rotated[0, 0, 0] = np.inf
    with pytest.raises(MessageError, match="no finite numbers"):
        server.infer([pack({"ciphertext": rotated})], Clock(Side.SERVER))


def test_wrong_key_at_test_time_loses_what_the_right_key_scores(bench: Bench) -> None:
    images = np.tile(np.arange(256, dtype=np.uint8), 12).reshape(1, 32, 32, 3)
    deployments = {}
    for wrong in (False, True):
        context = bench.context(epochs=1)
        fitted = fit(bench, context, mode="adapted", wrong_key=wrong)
        deployments[wrong] = fitted.deploy(context)
        assert (fitted.clear_reference(images) is None) is wrong
        assert any("wrong_key" in line for line in context.warnings) is wrong
        assert ("wrong_key" in fitted.claims().parameters) is wrong
    assert deployments[True].public_material == deployments[False].public_material
    right, lost = (bench.scores(deployments[wrong], images) for wrong in (False, True))
    assert np.abs(right - lost).max() > 1e-2


@pytest.mark.parametrize("sharing", ["joint", "apart"])
def test_two_clients_with_their_own_keys_train_one_model_or_one_each(
    bench: Bench, sharing: str
) -> None:
    context = bench.context(epochs=1)
    fitted = fit(bench, context, clients=2, sharing=sharing)
    trained = bench.servers[:]
    assert len(trained) == (1 if sharing == "joint" else 2)
    dealt = context.training["images_by_client"]
    assert sum(share["train"] for share in dealt) == 32 and min(s["train"] for s in dealt) > 0
    assert ("by_client" in context.training) is (sharing == "apart")
    deployment = fitted.deploy(context)
    scores = bench.scores(deployment, TEST.images)
    assert scores.shape == (20, 2)
    messages = deployment.client.protect(TEST.images, Clock(Side.CLIENT))
    assert {unpack(message)[1]["client"] for message in messages} == {"0", "1"}
    assert len(bench.store.made) == len(trained)
    assert "which client an image comes from" in fitted.claims().server_learns


def test_images_of_two_clients_are_encrypted_under_two_keys_in_their_order(bench: Bench) -> None:
    parameters = BlockScrambleParameters(clients=2)
    instance = make_instance(parameters, DATA, bench.context())
    assert instance.key_of(0).fingerprint != instance.key_of(1).fingerprint
    client = BlockScrambleClient(instance.inference_encryptors(), 2, instance.owner_of_image)
    messages = client.protect(TEST.images, Clock(Side.CLIENT))
    for image, message in zip(TEST.images, messages, strict=True):
        arrays, metadata = unpack(message)
        owner = int(metadata["client"])
        assert owner == instance.owner_of_image(image)
        encryptor = instance.encryptor("test", owner)
        assert (encryptor.decrypt(arrays["ciphertext"][None], ())[0] == image).all()


def test_a_client_without_images_is_refused(bench: Bench) -> None:
    few = TrainingData(learnable(8, 0), learnable(1, 1), ("dark", "bright"), "few")
    parameters = BlockScrambleParameters(clients=2, key="seeded:1")
    with pytest.raises(UsageError, match=r"client [12] of 2 gets no val images"):
        PIPELINE.fit(few, parameters, bench.context())


def test_a_message_for_a_client_without_a_model_is_refused(tiny_state: bytes) -> None:
    server = PIPELINE.load_server(header(models=2).to_bytes(tiny_state, tiny_state))
    image = {"ciphertext": np.zeros((32, 32, 3), np.uint8)}
    server.infer([pack(image, {"client": "1"})], Clock(Side.SERVER))
    for metadata in ({"client": "2"}, {"client": "-1"}, {"client": ""}, None):
        with pytest.raises(MessageError, match="no model for client"):
            server.infer([pack(image, metadata)], Clock(Side.SERVER))


def test_cells_are_keyed_by_the_fingerprint_of_the_key(tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    inputs = PIPELINE.identity_inputs(BlockScrambleParameters(), path)
    assert inputs["client key"] == key_files.load(path).fingerprint
    key_files.rotate(path)
    assert PIPELINE.identity_inputs(BlockScrambleParameters(), path) != inputs
    seeded = PIPELINE.identity_inputs(BlockScrambleParameters(key="seeded:3"), path)
    assert seeded["client key"] == ClientKey.from_seed(3).fingerprint


def test_cells_are_keyed_by_the_code_of_their_cipher(tmp_path: Path) -> None:
    first, second = (
        PIPELINE.identity_inputs(BlockScrambleParameters(cipher=name), tmp_path / "client.key")
        for name in ("np", "shf")
    )
    assert first["client key"] == second["client key"]
    assert first["cipher"] != second["cipher"]


def test_all_adapted_ciphers_share_one_plain_model(bench: Bench) -> None:
    for parameters in ({}, {"cipher": "al_amin"}, {"key": "seeded:3"}):
        fit(bench, bench.context(epochs=1), mode="adapted", **parameters)
    assert bench.store.made == ["plain-vit"]


def test_training_is_done_once_for_equal_inputs_and_again_for_others(bench: Bench) -> None:
    def states(**parameters: Any) -> bytes:
        changes = {name: parameters.pop(name) for name in ("seed", "epochs") if name in parameters}
        context = bench.context(**({"epochs": 1} | changes))
        deployment = fit(bench, context, **parameters).deploy(context)
        assert context.training["history"]
        return deployment.public_material

    first = states()
    assert states() == first
    assert len(bench.store.made) == 1
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
        assert len(bench.store.made) == number


def test_same_key_file_and_seed_give_the_same_predictions_in_another_run(tmp_path: Path) -> None:
    for policy in ("per_client", "per_image"):
        for cipher in ("vit_block", "noise") if policy == "per_client" else ("vit_block",):
            scores = []
            for _ in range(2):
                bench = Bench(tmp_path)
                context = bench.context(epochs=1)
                fitted = fit(bench, context, cipher=cipher, key_policy=policy)
                scores.append(bench.scores(fitted.deploy(context), TEST.images))
            assert (scores[0] == scores[1]).all()


def test_noise_for_classification_is_not_the_noise_of_training(bench: Bench) -> None:
    fitted = fit(bench, bench.context(epochs=1), cipher="noise")
    trained_on = [
        image.tobytes()
        for message in bench.crossing.messages
        for image in unpack(message)[0]["ciphertexts"]
    ]
    client = fitted.deploy(bench.context()).client
    messages = client.protect(TEST.images, Clock(Side.CLIENT))
    sent = [unpack(message)[0]["ciphertext"].tobytes() for message in messages]
    shown = [image.tobytes() for image in fitted.protected_picture(TEST.images)]
    assert len(trained_on) == 44
    assert len({*trained_on, *sent, *shown}) == 84


@pytest.mark.parametrize("mode", ["trained", "adapted"])
@pytest.mark.parametrize("key", ["client", "seeded:5"])
def test_no_key_material_and_no_plain_image_leaves_the_client(
    bench: Bench, mode: str, key: str
) -> None:
    context = bench.context(epochs=1)
    fitted = fit(bench, context, mode=mode, key=key)
    bench.scores(fitted.deploy(context), TEST.images)
    parameters = BlockScrambleParameters(mode=mode, key=key)
    instance = make_instance(parameters, DATA, context)
    keys = [instance.client_key, instance.key]
    keys += [
        owner.subkey(*purpose)
        for owner in list(keys)
        for purpose in [("stream",), ("tag",), ("fingerprint",), ("image",)]
    ]
    secrets = [secret for k in keys for secret in spellings(k.secret_bytes())]
    embedding = instance.keyed().affine_embedding(16)
    for order in (embedding.block_order, embedding.value_order[0]):
        secrets += [order.astype(kind).tobytes() for kind in ("<i8", "<i4", "<u2")]
    secrets += [image.tobytes() for image in (*DATA.train.images, *DATA.val.images, *TEST.images)]
    claims = fitted.claims().model_dump_json().encode()
    training = json.dumps(context.training).encode()
    haystacks = [*bench.crossing.public, *bench.crossing.messages, *bench.store.kept.values()]
    for haystack in [*haystacks, claims, training, repr(fitted).encode()]:
        assert not [secret for secret in secrets if secret in haystack]


def spellings(secret: bytes) -> list[bytes]:
    """A secret as bytes, hexadecimal and base64."""
    return [secret, secret.hex().encode(), base64.b64encode(secret)]


def test_per_image_nonces_travel_with_the_ciphertexts(bench: Bench) -> None:
    context = bench.context(epochs=1)
    deployment = fit(bench, context, key_policy="per_image").deploy(context)
    messages = deployment.client.protect(TEST.images, Clock(Side.CLIENT))
    nonces = {unpack(message)[1]["nonce"] for message in messages}
    assert len(nonces) == 20
    assert {len(nonce) for nonce in nonces} == {32}
    added, _ = unpack(bench.crossing.messages[0])
    assert added["nonces"].shape == (32, 16)
    assert bench.scores(deployment, TEST.images).shape == (20, 2)


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
        server.call("infer", deployment.client.protect(TEST.images, clock), clock), clock
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
    messages = deployment.client.protect(TEST.images, Clock(Side.CLIENT))
    first = server.infer(messages, Clock(Side.SERVER))
    assert first == server.infer(messages, Clock(Side.SERVER))
    assert len(first) == 20
    assert server.infer([], Clock(Side.SERVER)) == []
    logits = unpack(first[0])[0]["logits"]
    assert (logits.dtype, logits.shape) == (np.dtype("float32"), (2,))


def test_picture_is_the_ciphertext(bench: Bench) -> None:
    context = bench.context(epochs=1)
    fitted = fit(bench, context, mode="adapted")
    picture = fitted.protected_picture(TEST.images[:2])
    message = fitted.deploy(context).client.protect(TEST.images[:1], Clock(Side.CLIENT))[0]
    assert picture is not None and picture.dtype == np.uint8
    assert (picture[0] == unpack(message)[0]["ciphertext"]).all()
    assert (picture[0] != TEST.images[0]).mean() > 0.5


# What is claimed ---------------------------------------------------------------------------------


def claims_of(bench: Bench, **parameters: Any) -> Any:
    resolved = BlockScrambleParameters(**parameters)
    return make_instance(resolved, DATA, bench.context(image_size=224)).claims()


def test_claims_of_a_cipher_are_heuristic_and_name_its_key_without_showing_it(
    bench: Bench,
) -> None:
    claims = claims_of(bench)
    assert claims.claim_type == "heuristic"
    assert claims.deterministic is True
    assert claims.key_space.nominal_bits == pytest.approx(7_474, abs=1)
    assert claims.key_space.effective_bits == 256
    assert claims.key_policy == "per_client"
    assert len(claims.key_fingerprint) == 16
    assert claims.insecure == []
    assert any("labels" in item for item in claims.server_learns)


def test_claims_of_an_adapted_model_say_who_can_read_the_key_off(bench: Bench) -> None:
    claims = claims_of(bench, mode="adapted")
    assert any("reads the key off" in item for item in claims.server_learns)
    assert not any("labels" in item for item in claims.server_learns)


def test_claims_of_a_seeded_key_say_that_it_is_insecure(bench: Bench) -> None:
    claims = claims_of(bench, key="seeded:7")
    assert claims.key_space.seed_entropy_bits == claims.key_space.effective_bits == 32
    assert len(claims.insecure) == 1 and "32-bit seed" in claims.insecure[0]


def test_claims_of_al_amin_declare_the_interpretation(bench: Bench) -> None:
    claims = claims_of(bench, cipher="al_amin")
    assert "2411.05901" in claims.source
    assert "not published in full" in claims.parameters["interpretation"]


def test_claims_of_aes_rest_on_an_assumption_and_hide_equality(bench: Bench) -> None:
    claims = claims_of(bench, cipher="aes_ctr")
    assert claims.claim_type == "reduction to a hardness assumption"
    assert "AES-256" in claims.assumption and claims.enforced_by
    assert claims.deterministic is False
    assert claims.preserves == ["the size of the image"]
    assert claims.key_space.effective_bits == 256
    assert "the nonce of every image" in claims.server_learns
    assert not any("equal" in line for line in claims.server_learns)


@pytest.mark.parametrize("cipher", ["identity", "noise"])
def test_claims_of_controls_claim_nothing(bench: Bench, cipher: str) -> None:
    claims = claims_of(bench, cipher=cipher)
    assert claims.claim_type == "none"
    assert claims.key_space is None and claims.key_fingerprint == ""
    assert claims.insecure


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"cipher": "vit_blok"}, "did you mean 'vit_block'"),
        ({"cipher": "ffx", "mode": "adapted"}, "not affine"),
        ({"cipher": "aes_ctr", "mode": "adapted"}, "another one for every image"),
        ({"cipher": "shf", "fraction": 0.5}, "no parameter 'fraction'"),
        ({"cipher": "noise", "wrong_key": True}, "has no key"),
        ({"cipher": "identity", "clients": 2}, "has no key"),
        ({"wrong_key": True, "clients": 2}, "tests of their own"),
        ({"sharing": "apart"}, "needs two clients"),
        ({"clients": 2, "mode": "adapted"}, "two runs of one"),
        ({"cipher": "noise", "mode": "adapted"}, "does not depend on the image"),
        ({"mode": "adapted", "embedding": "fresh"}, "embedding is about mode=trained"),
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


def test_cipher_names_are_spelled_either_way() -> None:
    assert BlockScrambleParameters(cipher="al-amin").cipher == "al_amin"
    with pytest.raises(UnknownNameError, match="known: aes_ctr"):
        BlockScrambleParameters(cipher="zzz")


def test_patches_that_do_not_fit_the_image_are_refused(bench: Bench) -> None:
    with pytest.raises(UsageError, match=r"patch 5 does not divide the image size 32.*2, 4, 8, 16"):
        fit(bench, patch=5)
    with pytest.raises(UsageError, match="patch 16 does not divide the image size 40"):
        fit(bench, bench.context(image_size=40))


def header(**changes: Any) -> ServerMaterial:
    fields = {
        "backbone": "deit_tiny_patch16_224",
        "image_size": 32,
        "patch": 16,
        "classes": 2,
    }
    return ServerMaterial(**(fields | changes))


@pytest.fixture(scope="module")
def tiny_state() -> bytes:
    from he_compare.common.backbones.deit import build_vit

    return state_bytes(
        build_vit("deit_tiny_patch16_224", image_size=32, classes=2, weights="untrained", seed=0)
    )


@pytest.mark.parametrize(
    "material",
    [
        b"",
        b"no safetensors",
        pack({}),
        pack({"state 0": np.zeros(3, np.uint8)}),
        pack({"state 0": np.zeros(3, np.uint8)}, {"header": "{}"}),
        pack({"state 0": np.zeros(3, np.uint8)}, {"header": '{"key": "secret"}'}),
        header().to_bytes(b"no state"),
        header(backbone="resnet18").to_bytes(b""),
        header(image_size=33).to_bytes(b""),
        header(models=2).to_bytes(b"one"),
        header().to_bytes(b"one", b"two"),
    ],
    ids=range(11),
)
def test_public_material_that_does_not_parse_is_refused(material: bytes) -> None:
    with pytest.raises(MessageError):
        PIPELINE.load_server(material)


def test_state_of_another_architecture_is_refused(tiny_state: bytes) -> None:
    with pytest.raises(MessageError, match="does not fit"):
        PIPELINE.load_server(header(classes=3).to_bytes(tiny_state))


def test_ciphertexts_that_do_not_parse_are_refused(tiny_state: bytes) -> None:
    server = PIPELINE.load_server(header().to_bytes(tiny_state))
    assert server.verbs == ("infer",)
    for message in (
        b"",
        b"noise",
        pack({"image": np.zeros((32, 32, 3), np.uint8)}),
        pack({"ciphertext": np.zeros((32, 32, 3), np.float32)}),
        pack({"ciphertext": np.zeros((16, 16, 3), np.uint8)}),
    ):
        with pytest.raises(MessageError):
            server.infer([message], Clock(Side.SERVER))


def test_training_messages_that_do_not_hold_are_refused(tiny_state: bytes) -> None:
    budget = TrainingBudget(epochs=1, batch_size=4, learning_rate=1e-3, seed=0, patience=1)
    server: Any = PIPELINE.load_server(header(training=budget).to_bytes(tiny_state))
    clock = Clock(Side.SERVER)
    images, labels = TEST.images[:4], TEST.labels[:4]
    good = labelled_message(Split.TRAIN, images, (), labels)
    bad = [
        b"",
        labelled_message(Split.TEST, images, (), labels),
        labelled_message(Split.TRAIN, images, (), labels + 1),
        labelled_message(Split.TRAIN, images, (), labels - 1),
        labelled_message(Split.TRAIN, images, (), labels[:3]),
        labelled_message(Split.TRAIN, images, [bytes(16)], labels),
        labelled_message(Split.TRAIN, images[:0], (), labels[:0]),
        labelled_message(Split.TRAIN, images[:, :16], (), labels),
        pack({"ciphertexts": images, "labels": labels}, {"split": "train"}),
    ]
    for message in bad:
        with pytest.raises(MessageError):
            server.add([message], clock)
    with pytest.raises(MessageError, match="images of both splits"):
        server.epoch([], clock)
    server.add([good, labelled_message(Split.VAL, images, (), labels)], clock)
    with pytest.raises(CompareError, match="no epoch"):
        server.export([], clock)
    report = json.loads(server.epoch([], clock)[0])
    assert report["finished"] is True
    with pytest.raises(MessageError, match="budget is spent"):
        server.epoch([], clock)
    with pytest.raises(MessageError, match="this server trains"):
        server.infer([], clock)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        pack({"logits": np.zeros(3, np.float32)}),
        pack({"logits": np.zeros(2, np.float64)}),
        pack({"logits": np.array([0.0, np.nan], np.float32)}),
    ],
    ids=["empty", "three classes", "float64", "not a number"],
)
def test_replies_that_do_not_parse_are_refused(bench: Bench, reply: bytes) -> None:
    instance = make_instance(BlockScrambleParameters(), DATA, bench.context())
    client = BlockScrambleClient([instance.encryptor("test")], classes=2)
    with pytest.raises(MessageError):
        client.reveal([reply], Clock(Side.CLIENT))


def test_importing_the_pipeline_does_not_import_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, he_compare.block_scramble.pipelines.block_scramble as b;"
        "b.PIPELINE.parameters(cipher='al_amin');"
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
