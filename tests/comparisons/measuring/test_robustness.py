"""Disturbed messages: flips and noise do what they say, every reply is counted as what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from he_compare.common.clock import Clock
from he_compare.common.errors import (
    MessageError,
    ServerReplacedError,
    ServiceError,
    ServiceTimeoutError,
    UsageError,
)
from he_compare.common.run.records import RobustnessCurve, RobustnessPoint
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Float64Array, Message, Side, UInt8Array
from he_compare.comparisons.measuring.disturbances import (
    BIT_FLIPS,
    GAUSSIAN_NOISE,
    add_image_noise,
    add_noise,
    flip_bits,
    flip_value_bits,
)
from he_compare.comparisons.measuring.robustness import robustness_curve

# The disturbances -------------------------------------------------------------------------------


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def flipped_bits(before: bytes, after: bytes) -> int:
    difference = np.frombuffer(before, np.uint8) ^ np.frombuffer(after, np.uint8)
    return int(np.unpackbits(difference).sum())


@pytest.mark.parametrize("share", [1e-4, 5e-3, 1e-2, 2e-2, 0.3, 1.0])
def test_the_share_of_flipped_bits_is_the_one_asked_for(share: float) -> None:
    message = random().bytes(3_000_000)
    flipped = flipped_bits(message, flip_bits(message, share, random(1)))
    bits = 8 * len(message)
    assert abs(flipped - share * bits) <= 5 * np.sqrt(bits * share * (1 - share))


@pytest.mark.parametrize("share", [1e-3, 0.5])
def test_every_bit_of_a_byte_is_flipped_as_often(share: float) -> None:
    after = np.frombuffer(flip_bits(bytes(400_000), share, random()), np.uint8)
    counts = np.unpackbits(after[:, None], axis=1).sum(axis=0)
    expected = share * 400_000
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_the_same_generator_flips_the_same_bits_and_share_zero_none() -> None:
    message = random().bytes(1000)
    assert flip_bits(message, 0.01, random(3)) == flip_bits(message, 0.01, random(3))
    assert flip_bits(message, 0.01, random(3)) != flip_bits(message, 0.01, random(4))
    assert flip_bits(message, 0.0, random(3)) == message
    assert flip_bits(b"", 0.5, random()) == b""


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="out of range"):
        flip_bits(b"message", share, random())


def test_flips_leave_the_header_of_a_packed_message_whole() -> None:
    ciphertext = random().integers(0, 256, (8, 8, 3), dtype=np.uint8)
    message = pack({"ciphertext": ciphertext}, {"nonce": "ab"})
    arrays, metadata = unpack(flip_value_bits(message, 0.5, random()))
    assert metadata == {"nonce": "ab"}
    assert arrays["ciphertext"].shape == (8, 8, 3)
    assert (arrays["ciphertext"] != ciphertext).any()


def test_flips_reach_every_byte_of_a_message_that_is_not_packed() -> None:
    opaque = b"SEAL" + bytes(60)
    assert flip_value_bits(opaque, 1.0, random()) == bytes(byte ^ 255 for byte in opaque)


def test_noise_on_bytes_is_rounded_and_cut_off() -> None:
    middle = np.full((100, 100), 128, np.uint8)
    noisy = add_noise(middle, 10.0, random())
    assert noisy.dtype == np.uint8
    assert abs(float(noisy.std()) - 10) < 0.5 and abs(float(noisy.mean()) - 128) < 0.5
    assert (add_noise(np.zeros((50, 50), np.uint8), 5.0, random()) < 40).all()
    np.testing.assert_array_equal(add_noise(middle, 0.0, random()), middle)


def test_noise_on_float_ciphertexts_is_neither_rounded_nor_cut_off() -> None:
    noisy = add_noise(np.zeros((100, 100), np.float32), 4.0, random())
    assert noisy.dtype == np.float32 and noisy.min() < -5
    assert abs(float(noisy.std()) - 4) < 0.2


@pytest.mark.parametrize("sigma", [-1.0, float("nan"), float("inf")])
def test_a_sigma_that_is_none_is_refused(sigma: float) -> None:
    with pytest.raises(UsageError, match="out of range"):
        add_noise(np.zeros(3, np.uint8), sigma, random())


@pytest.mark.parametrize("message", [b"opaque", pack({"reply": np.zeros(9, np.uint8)})])
def test_noise_is_not_defined_on_messages_without_pictures(message: bytes) -> None:
    with pytest.raises(UsageError, match="needs pictures"):
        add_image_noise(message, 1.0, random())


# The curves, with a brightness classifier as the pipeline ---------------------------------------


class BrightnessClient:
    def protect(self, images: UInt8Array, clock: Clock) -> list[Message]:
        return [pack({"ciphertext": image}) for image in images]

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        return np.stack([unpack(reply, expect={"s": ("float64", 1)})[0]["s"] for reply in replies])


Answer = Callable[[UInt8Array], Message]


def brightness(image: UInt8Array) -> Message:
    return pack({"s": np.array([0.0, float(image.mean()) - 127.5])})


@dataclass
class FakeServer:
    """Answers a whole batch or refuses it, as the real one does; may die for good."""

    answer: Answer = brightness
    dead: bool = False
    pid: int = 0
    calls: int = 0

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        assert verb == "infer"
        self.calls += 1
        if self.dead:
            raise ServiceError("server process went away")
        try:
            return [self.answer(unpack(message)[0]["ciphertext"]) for message in messages]
        except MessageError as error:
            raise ServiceError(str(error)) from None
        except ZeroDivisionError:
            self.dead = True
            raise ServiceError("server process died") from None

    def close(self) -> None:
        self.dead = True


@dataclass
class FakeSession:
    server: FakeServer = field(default_factory=FakeServer)
    client: BrightnessClient = field(default_factory=BrightnessClient)


LABELS = np.arange(24, dtype=np.int64) % 2
IMAGES = np.where(LABELS[:, None, None, None] == 1, 150, 105) * np.ones((1, 8, 8, 3))
IMAGES = IMAGES.astype(np.uint8)


def curve(session: FakeSession | None = None, **options: Any) -> RobustnessCurve:
    disturbance = options.pop("disturbance", BIT_FLIPS)
    return robustness_curve(session or FakeSession(), IMAGES, LABELS, disturbance, **options)


def test_accuracy_falls_from_perfect_to_chance_and_intervals_hold_it() -> None:
    points = curve(levels=[0.5, 0.0, 1e-3]).points
    assert [point.level for point in points] == [0.0, 1e-3, 0.5]
    assert points[0].accuracy == points[1].accuracy == 1.0
    assert 0.2 < points[2].accuracy < 0.8
    for point in points:
        assert point.n == 24 * point.draws and point.accuracy == point.correct / point.n
        assert point.interval.low <= point.accuracy <= point.interval.high
        assert "Wilson" in point.interval.method


def test_the_same_seed_gives_the_same_curve_whatever_the_batch_and_the_other_levels() -> None:
    noise = {"disturbance": GAUSSIAN_NOISE}
    first = curve(levels=[0.1, 0.3], seed=5)
    assert curve(levels=[0.3], seed=5, batch=7).points[0] == first.points[1]
    assert curve(levels=[0.1, 0.3], seed=6) != first
    assert curve(levels=[200.0], seed=5, **noise) == curve(levels=[200.0], seed=5, **noise)


def test_every_message_is_disturbed_anew_in_each_draw_and_the_flips_are_counted() -> None:
    still, few, many = curve(levels=[0.0, 1e-3, 0.3]).points
    assert (still.draws, still.flips_expected, still.flips_drawn) == (1, 0.0, 0)
    assert (few.draws, few.n) == (3, 72)
    for point, share in ((few, 1e-3), (many, 0.3)):
        expected = share * 72 * 8 * 192
        assert point.flips_expected == pytest.approx(expected)
        assert point.flips_drawn is not None
        assert abs(point.flips_drawn - expected) < 5 * np.sqrt(expected)
    first, second = (curve(levels=[0.3], seed=seed).points[0].flips_drawn for seed in (1, 2))
    assert first != second
    noisy = curve(levels=[20.0], disturbance=GAUSSIAN_NOISE).points[0]
    assert (noisy.draws, noisy.flips_expected, noisy.flips_drawn) == (1, None, None)


def test_right_refused_and_wrong_are_all_there_is() -> None:
    def half_refused(image: UInt8Array) -> Message:
        if image.max() > 240:
            raise MessageError("too bright")
        return brightness(image)

    for point in curve(FakeSession(FakeServer(half_refused)), levels=[0.002, 0.01]).points:
        assert point.correct + point.noticed + point.wrong == point.n
        assert point.wrong_interval is not None
        assert point.wrong_interval.low <= point.wrong / point.n <= point.wrong_interval.high
        assert 0 < point.noticed < point.n and point.correct > 0


def test_a_point_of_an_older_record_counts_what_is_left_over_as_wrong() -> None:
    stored = curve(levels=[0.3]).points[0].model_dump()
    wrong = stored.pop("wrong")
    assert wrong > 0
    assert RobustnessPoint.model_validate(stored).wrong == wrong
    with pytest.raises(ValueError, match="wrong"):
        RobustnessPoint.model_validate(stored | {"refused": "many"})


def test_default_levels_start_with_an_undisturbed_point() -> None:
    for disturbance in (BIT_FLIPS, GAUSSIAN_NOISE):
        points = curve(disturbance=disturbance).points
        assert points[0].level == 0 and points[0].same == points[0].n
        assert [point.level for point in points] == list(disturbance.levels)


def test_refused_messages_are_counted_and_do_not_take_their_batch_with_them() -> None:
    def refuse_altered(image: UInt8Array) -> Message:
        if len(np.unique(image)) > 1:
            raise MessageError("not uniform")
        return brightness(image)

    share = 1 / (8 * IMAGES[0].size)
    (point,) = curve(FakeSession(FakeServer(refuse_altered)), levels=[share]).points
    assert 25 <= point.refused <= 60
    assert point.correct == point.same == 72 - point.refused
    assert point.unreadable == point.garbage == point.crashes == 0


@pytest.mark.parametrize(
    ("reply", "counted"),
    [
        (b"no message", "unreadable"),
        (pack({"s": np.array([0.0, np.nan])}), "garbage"),
        (pack({"s": np.array([0.0, 1e9])}), "garbage"),
    ],
    ids=["unreadable", "nan", "huge"],
)
def test_replies_that_are_no_scores_are_counted_apart_and_not_as_wrong(
    reply: Message, counted: str
) -> None:
    def answer(image: UInt8Array) -> Message:
        return brightness(image) if len(np.unique(image)) == 1 else reply

    (point,) = curve(FakeSession(FakeServer(answer)), levels=[0.4]).points
    counts = {name: getattr(point, name) for name in ("refused", "unreadable", "garbage")}
    assert counts == {"refused": 0, "unreadable": 0, "garbage": 0} | {counted: 72}
    assert point.noticed == 72
    assert point.correct == point.wrong == 0 and point.accuracy == 0.0


def fragile(image: UInt8Array) -> Message:
    """Dies of bytes that no undisturbed image has."""
    if image.max() > 230:
        raise ZeroDivisionError
    return brightness(image)


def test_a_server_that_dies_is_started_again_and_its_deaths_are_counted() -> None:
    started = []

    def restart() -> FakeServer:
        started.append(FakeServer(fragile))
        return started[-1]

    session = FakeSession(FakeServer(fragile))
    (point,) = curve(session, levels=[0.002], restart=restart, batch=8).points
    assert point.crashes == point.refused > 0
    assert point.same == 72 - point.refused
    assert len(started) >= point.crashes


def test_a_process_that_is_replaced_is_counted_and_needs_no_start() -> None:
    @dataclass
    class Replaced(FakeServer):
        def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
            try:
                return super().call(verb, messages, clock)
            except ServiceError as error:
                self.dead = False
                raise ServerReplacedError(str(error)) from None

    session = FakeSession(Replaced(fragile))
    (point,) = curve(session, levels=[0.002], batch=8).points
    assert point.crashes == point.refused > 0
    assert point.same == 72 - point.refused


def test_a_server_that_dies_for_good_ends_the_curve() -> None:
    with pytest.raises(ServiceError, match="disturbed message stopped the server"):
        curve(FakeSession(FakeServer(fragile)), levels=[0.2])


def test_undisturbed_messages_have_to_be_answered() -> None:
    def never(image: UInt8Array) -> Message:
        raise MessageError("no")

    restart = lambda: FakeServer(never)  # noqa: E731
    with pytest.raises(ServiceError, match="undisturbed"):
        curve(FakeSession(FakeServer(never)), levels=[0.0], restart=restart)


def test_a_timeout_is_no_refusal() -> None:
    def late(image: UInt8Array) -> Message:
        raise ServiceTimeoutError("too late")

    with pytest.raises(ServiceTimeoutError):
        curve(FakeSession(FakeServer(late)), levels=[0.0])


def test_images_and_labels_have_to_fit() -> None:
    with pytest.raises(UsageError, match="labels"):
        robustness_curve(FakeSession(), IMAGES, LABELS[:3], BIT_FLIPS)


def test_the_curve_is_a_record_that_survives_json() -> None:
    found = curve(levels=[0.0, 0.1])
    assert RobustnessCurve.model_validate_json(found.model_dump_json()) == found
    assert found.unit and found.applied_to and not found.reason


# Both sides of the comparison -------------------------------------------------------------------


@dataclass
class InProcess:
    """A server half in this process, refusing as the service does."""

    half: Any
    pid: int = 0

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        try:
            replies: list[Message] = self.half.infer(messages, Clock(Side.SERVER))
        except MessageError as error:
            raise ServiceError(str(error)) from None
        return replies

    def close(self) -> None:
        pass


def test_one_flipped_bit_of_a_ckks_ciphertext_yields_garbage_or_refusal() -> None:
    pytest.importorskip("tenseal")
    from he_compare.common.backbones.head import LinearModel
    from he_compare.fhe_baseline.ckks.inference import (
        load_public_material,
        make_plan,
        public_material,
    )

    model = LinearModel(random().normal(size=(2, 16)), np.zeros(2))
    plan = make_plan(model, "replicated", "auto")
    client = plan.packing.make_client(plan.parameters, model)
    server = load_public_material(public_material(plan, client.public_arrays()))

    session: Any = FakeSession()
    session.client, session.server = client, InProcess(server)
    features: Any = random(1).normal(size=(12, 16))
    labels = model.scores(features).argmax(axis=1)
    found = robustness_curve(session, features, labels, BIT_FLIPS, [0.0, 1e-4, 1e-2])
    whole, few, many = found.points
    assert whole.accuracy == 1.0
    assert few.correct == many.correct == 0
    assert few.noticed == 36
    assert many.refused == 36
    noise = robustness_curve(session, features, labels, GAUSSIAN_NOISE)
    assert noise.points == [] and "pictures" in noise.reason
