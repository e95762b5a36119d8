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
import timm
import torch
from pydantic import ValidationError

from block_scramble.cipher import Cipher, ImageShape, cipher_parameters
from block_scramble.client import BlockScrambleClient, labelled_message
from block_scramble.instance import make_instance
from block_scramble.keys import ClientKey
from block_scramble.material import ServerMaterial, TrainingBudget
from block_scramble.options import BlockScrambleParameters
from block_scramble.pipelines.block_scramble import PIPELINE
from block_scramble.vit import adapt_by_key, forget_patch_embedding
from common import plugins
from common.backbones.deit import load_state_bytes, predict_logits, state_bytes
from common.clock import Clock
from common.contracts import Deployment, Fitted, RunContext, RunSettings, Server, TrainingData
from common.errors import CompareError, MessageError, UnknownNameError, UsageError
from common.identity import key_of
from common.types import ImageBatch, Message, Side, Split, Stage, UInt8Array
from common.wire import pack, unpack

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
RAW_MEAN, RAW_STD = np.zeros(3, np.float32), np.ones(3, np.float32)


# Adaptation by key -------------------------------------------------------------------------------


def small_vit(distilled: bool = False, seed: int = 0) -> torch.nn.Module:
    """A random ViT of 16 patches of 8 pixels whose positions and biases matter."""
    torch.manual_seed(seed)
    name = "deit_tiny_distilled_patch16_224" if distilled else "vit_tiny_patch16_224"
    model = timm.create_model(
        name, img_size=32, patch_size=8, num_classes=5, depth=3, embed_dim=48, num_heads=3
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(float("norm" in name and "weight" in name), 0.2)
        model.pos_embed.normal_(0, 1)
    return model.eval()


def pictures(count: int, size: int, seed: int = 0) -> UInt8Array:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("distilled", [False, True], ids=["class token", "distillation token"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_block", {}),
        ("vit_block", {"negative_positive": True}),
        ("al_amin", {}),
        ("al_amin", {"mix_channels": False}),
        ("al_amin", {"negative_positive": True}),
        ("al_amin", {"mix_channels": False, "negative_positive": True}),
        ("identity", None),
    ],
)
def test_adapted_model_gives_the_plain_logits_on_ciphertext(
    name: str, options: dict[str, Any] | None, distilled: bool
) -> None:
    cipher: Cipher = plugins.load("ciphers", name)
    parameters = cipher_parameters(cipher, {} if options is None else {"patch": 8, **options})
    keyed = cipher.prepare(ClientKey.generate(), parameters, ImageShape(32, 32, 3))
    images = pictures(24, 32)
    model = small_vit(distilled)
    plain = predict_logits(model, images, MEAN, STD)
    adapted = adapt_by_key(state_bytes(model), keyed.affine_embedding(8), MEAN, STD)
    load_state_bytes(model, adapted)
    on_ciphertext = predict_logits(model, keyed.encrypt(images), RAW_MEAN, RAW_STD)
    assert np.abs(plain).max() > 0.5
    assert np.abs(on_ciphertext - plain).max() < 1e-4
    assert (on_ciphertext.argmax(axis=1) == plain.argmax(axis=1)).all()
    if cipher.traits.keyed:
        on_plain = predict_logits(model, images, RAW_MEAN, RAW_STD)
        assert np.abs(on_plain - plain).max() > 0.1


def test_model_adapted_to_one_key_is_lost_on_ciphertexts_of_another() -> None:
    cipher = plugins.load("ciphers", "vit_block")
    parameters = cipher_parameters(cipher, {"patch": 8})
    own, other = (
        cipher.prepare(ClientKey.from_seed(seed), parameters, ImageShape(32, 32, 3))
        for seed in (0, 1)
    )
    model, images = small_vit(), pictures(24, 32)
    plain = predict_logits(model, images, MEAN, STD)
    load_state_bytes(model, adapt_by_key(state_bytes(model), own.affine_embedding(8), MEAN, STD))
    on_other = predict_logits(model, other.encrypt(images), RAW_MEAN, RAW_STD)
    assert np.abs(on_other - plain).max() > 0.1


def test_a_model_of_other_patches_or_positions_is_refused() -> None:
    cipher = plugins.load("ciphers", "vit_block")
    state = state_bytes(small_vit())
    for shape, patch, reason in (
        (ImageShape(32, 32, 3), 4, "192 values, the key's 48"),
        (ImageShape(64, 64, 3), 8, "17 positions, the key permutes 64 blocks"),
    ):
        parameters = cipher_parameters(cipher, {"patch": patch})
        keyed = cipher.prepare(ClientKey.from_seed(0), parameters, shape)
        with pytest.raises(UsageError, match=reason):
            adapt_by_key(state, keyed.affine_embedding(patch), MEAN, STD)


def test_forgetting_the_patch_embedding_leaves_the_rest_and_its_scale() -> None:
    model, forgotten = small_vit(), small_vit()
    forget_patch_embedding(forgotten, 1)
    before, after = model.state_dict(), forgotten.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    kernel = "patch_embed.proj.weight"
    assert float(after[kernel].std() / before[kernel].std()) == pytest.approx(1, abs=0.05)
    correlation = torch.corrcoef(torch.stack([before[kernel].ravel(), after[kernel].ravel()]))
    assert abs(float(correlation[0, 1])) < 0.05


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
    fitted = fit(bench, context, negative_positive=False)
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
        {"cipher": "al_amin"},
        {"cipher": "al_amin", "mix_channels": False},
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
    for order in (embedding.block_order, embedding.value_order):
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
        ({"cipher": "al_amin", "mode": "adapted", "shared_pixel_key": False}, "of its own"),
        ({"cipher": "noise", "mode": "adapted"}, "does not depend on the image"),
        ({"mode": "adapted", "key_policy": "per_image"}, "every image has another"),
        ({"cipher": "identity", "key_policy": "per_image"}, "has no key"),
        ({"cipher": "vit_block", "mix_channels": True}, "no parameter 'mix_channels'"),
        ({"cipher": "identity", "negative_positive": True}, "no parameter 'negative_positive'"),
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
    [{"mode": "guessed"}, {"key_policy": "none"}, {"patch": 1}, {"patch": 1000}, {"colour": True}],
)
def test_values_out_of_range_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BlockScrambleParameters(**parameters)


def test_cipher_names_are_spelled_either_way() -> None:
    assert BlockScrambleParameters(cipher="al-amin").cipher == "al_amin"
    with pytest.raises(UnknownNameError, match="known: al_amin"):
        BlockScrambleParameters(cipher="zzz")


def test_patches_that_do_not_fit_the_image_or_the_plain_model_are_refused(bench: Bench) -> None:
    with pytest.raises(UsageError, match=r"patch 5 does not divide the image size 32.*2, 4, 8, 16"):
        fit(bench, patch=5)
    with pytest.raises(UsageError, match="plain deit_tiny_patch16_224 has patches of 16"):
        fit(bench, patch=8, mode="adapted")
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
    from common.backbones.deit import build_vit

    return state_bytes(
        build_vit("deit_tiny_patch16_224", image_size=32, classes=2, weights="untrained", seed=0)
    )


@pytest.mark.parametrize(
    "material",
    [
        b"",
        b"no safetensors",
        pack({}),
        pack({"state": np.zeros(3, np.uint8)}),
        pack({"state": np.zeros(3, np.uint8)}, {"header": "{}"}),
        pack({"state": np.zeros(3, np.uint8)}, {"header": '{"key": "secret"}'}),
        header().to_bytes(b"no state"),
        header(backbone="resnet18").to_bytes(b""),
        header(image_size=33).to_bytes(b""),
    ],
    ids=range(9),
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
    client = BlockScrambleClient(instance.encryptor("test"), classes=2)
    with pytest.raises(MessageError):
        client.reveal([reply], Clock(Side.CLIENT))


def test_importing_the_pipeline_does_not_import_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, block_scramble.pipelines.block_scramble as b;"
        "b.PIPELINE.parameters(cipher='al_amin');"
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
