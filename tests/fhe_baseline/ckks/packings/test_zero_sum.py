"""Packing ``zero-sum``: an exact mask hides all but scores; one of doubles gives the head away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from he_compare.common.backbones.head import CLIP, LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError, UsageError
from he_compare.common.types import Float64Array, Side
from he_compare.fhe_baseline.ckks.exact_plaintexts import (
    coefficient,
    plaintext_of,
    public_key_of,
    residues_of,
)
from he_compare.fhe_baseline.ckks.inference import load_public_material, make_plan, public_material
from he_compare.fhe_baseline.ckks.layouts.coefficients import CoefficientLayout
from he_compare.fhe_baseline.ckks.modular import (
    coefficients,
    inverse,
    multiply,
    residues,
    subtract,
    transformed,
)
from he_compare.fhe_baseline.ckks.packing import load_packing
from he_compare.fhe_baseline.ckks.packings.zero_sum import (
    LEAK_BITS,
    PUBLIC_KEY,
    ZeroSumServer,
    flood_numbers,
    mask,
    plan,
)
from he_compare.fhe_baseline.ckks.parameters import PARAMETER_SETS, parameter_set
from he_compare.fhe_baseline.ckks.public_keys import key_primes
from he_compare.fhe_baseline.ckks.serialization import seal_bytes

WIDTH = 20
PARAMETERS = parameter_set("n4096-106-flat")
PRIME = 8796092833793
# A double near 2^76 is a multiple of it.
BARE = 1 << 24


def head() -> LinearModel:
    generator = np.random.default_rng(8)
    return LinearModel(generator.normal(scale=0.2, size=(2, WIDTH)), np.array([3.0, -3.0]))


def twin() -> tuple[LinearModel, Float64Array]:
    """Another head than ``head()``, and features for which both have equal scores."""
    features = np.repeat(np.random.default_rng(3).normal(size=(1, WIDTH // 2)), 2, axis=1)
    swapped = head().weights.reshape(2, WIDTH // 2, 2)[:, :, ::-1].reshape(2, WIDTH)
    return LinearModel(swapped, head().bias), features


@cache
def client_and_material() -> tuple[Any, bytes]:
    made = make_plan(head(), "zero-sum", "auto")
    client: Any = made.packing.make_client(made.parameters, head())
    return client, public_material(made, client.public_arrays())


def deployed() -> tuple[Any, Any]:
    client, material = client_and_material()
    return client, load_public_material(material)


class MaskOfDoubles(ZeroSumServer):
    """As it was: real numbers near 2^76, rounded to whole ones after they were drawn."""

    def _bias_and_mask(self) -> Any:
        drawn = np.random.default_rng().normal(scale=2.0**76, size=self._layout.degree)
        drawn = np.sign(drawn) * np.clip(np.abs(drawn), 2.0**76, 2.0**83)
        drawn[self._layout.places] = self._bias
        numbers = [transformed(residues(np.rint(drawn), prime), prime) for prime in self._primes]
        return plaintext_of(self._context, numbers, self._scales.reply)


def server_of(kind: type[ZeroSumServer], model: LinearModel | None = None) -> ZeroSumServer:
    client, _ = client_and_material()
    return kind(PARAMETERS, model or head(), client.public_arrays())


class NotFlooded(ZeroSumServer):
    """Masked, but with the digits below each score as they come out."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._flood = 0


class NotRerandomised(ZeroSumServer):
    """Masked, but with the client's own second polynomial times the weights."""

    def evaluate(self, features: Any) -> Any:
        products = self._seal.Ciphertext()
        self._evaluator.multiply_plain(features, self._weights, products)
        self._evaluator.add_plain_inplace(products, self._bias_and_mask())
        return products


class Trusting(ZeroSumServer):
    """As it was: a public key is taken as it comes, here with zero as its uniform half."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        primes = key_primes(self._context)
        ones = [np.ones(PARAMETERS.degree, np.uint64)] * len(primes)
        key = public_key_of(self._context, [*ones, *np.zeros_like(ones)])
        self._encryptor = self._seal.Encryptor(self._context, key)


def clock() -> Clock:
    return Clock(Side.CLIENT)


def decrypted(client: Any, ciphertext: Any) -> list[np.ndarray]:
    return residues_of(client._decrypt(ciphertext), len(client._primes))


def second_polynomial(client: Any, ciphertext: Any) -> list[np.ndarray]:
    primes, degree = len(client._primes), PARAMETERS.degree
    values = (ciphertext[place] for place in range(primes * degree, 2 * primes * degree))
    return list(np.fromiter(values, np.uint64).reshape(primes, degree))


def whole_numbers(client: Any, numbers: list[np.ndarray], first: int = 8 * WIDTH) -> np.ndarray:
    """The first coefficients modulo q, from -q / 2 to q / 2, as Python's integers."""
    one, two = (
        coefficients(values, prime)[:first].astype(object)
        for values, prime in zip(numbers, client._primes, strict=True)
    )
    p, q = client._primes
    whole = one + p * ((two - one) * pow(p, -1, q) % q)
    centred: np.ndarray = (whole + p * q // 2) % (p * q) - p * q // 2
    return centred


def low_digits(client: Any, numbers: list[np.ndarray]) -> Float64Array:
    """Coefficients modulo ``BARE``, from -BARE / 2 to BARE / 2."""
    whole = whole_numbers(client, numbers, PARAMETERS.degree)
    return np.array((whole + BARE // 2) % BARE - BARE // 2, np.float64)


def chosen_upload(client: Any, polynomial: Float64Array) -> bytes:
    """An upload that decrypts to a polynomial exactly: its maker knows the noise and removes it."""
    (message,) = client.protect(np.zeros((1, WIDTH)), clock())
    scale = client._scales.features
    shape = client.shape_of(2, scale)
    ciphertext = shape.load(message, "upload")
    wanted = [
        subtract(transformed(residues(polynomial, prime), prime), there, prime)
        for there, prime in zip(decrypted(client, ciphertext), client._primes, strict=True)
    ]
    change = plaintext_of(client._context, wanted, scale)
    client._seal.Evaluator(client._context).add_plain_inplace(ciphertext, change)
    return seal_bytes(ciphertext)


def weights_from_one_reply(server: ZeroSumServer) -> Float64Array:
    """What an attacker reads who sends the polynomial 1: low digits of the weights, (2, width)."""
    client, _ = client_and_material()
    (reply,) = server.infer([chosen_upload(client, np.eye(1, PARAMETERS.degree)[0])], clock())
    digits = low_digits(client, decrypted(client, client._shape.load(reply, "reply")))
    return digits[: 2 * WIDTH].reshape(2, WIDTH)[:, ::-1] / client._scales.weights


def residual(server: ZeroSumServer, believed: LinearModel) -> float:
    """How far an honest reply's low digits are from those that a head would give, 0 to 1."""
    client, _ = client_and_material()
    (upload,) = client.protect(twin()[1], clock())
    (reply,) = server.infer([upload], clock())
    own = decrypted(client, client.shape_of(2, client._scales.features).load(upload, "upload"))
    found = decrypted(client, client._shape.load(reply, "reply"))
    layout, scale = client._layout, client._scales.weights
    laid_out = np.rint(layout.place_weights(scale * believed.weights))
    left = [
        subtract(there, multiply(sent, transformed(residues(laid_out, prime), prime), prime), prime)
        for there, sent, prime in zip(found, own, client._primes, strict=True)
    ]
    return float(2 * np.abs(np.delete(low_digits(client, left), layout.places)).mean() / BARE)


def test_one_chosen_reply_gives_all_weights_behind_a_mask_of_doubles() -> None:
    found = weights_from_one_reply(server_of(MaskOfDoubles))
    missed = np.delete(found - head().weights, WIDTH - 1, axis=1)
    assert np.abs(missed).max() < 1e-3


def test_one_chosen_reply_gives_no_weight_behind_an_exact_mask() -> None:
    found = np.array([weights_from_one_reply(server_of(ZeroSumServer)) for _ in range(20)])
    likeness = [np.corrcoef(one.ravel(), head().weights.ravel())[0, 1] for one in found]
    assert abs(float(np.mean(likeness))) < 0.15
    assert found.std() == pytest.approx(
        BARE / client_and_material()[0]._scales.weights / 12**0.5, rel=0.1
    )


def test_one_honest_reply_tells_heads_of_equal_scores_apart_behind_a_mask_of_doubles() -> None:
    other, features = twin()
    np.testing.assert_allclose(other.scores(features), head().scores(features))
    assert residual(server_of(MaskOfDoubles), head()) < 1e-3
    assert residual(server_of(MaskOfDoubles), other) > 0.05
    assert residual(server_of(MaskOfDoubles, other), other) < 1e-3


def test_no_honest_reply_tells_heads_of_equal_scores_apart_behind_an_exact_mask() -> None:
    other, _ = twin()
    for believed in (head(), other):
        assert residual(server_of(ZeroSumServer), believed) == pytest.approx(0.5, abs=0.05)


def test_the_digits_below_a_score_tell_such_heads_apart_by_no_more_than_is_stated() -> None:
    """The exact distance between both heads' replies to one upload, of which all is known."""
    client, _ = client_and_material()
    other, features = twin()
    (upload,) = client.protect(features, clock())
    own = decrypted(client, client.shape_of(2, client._scales.features).load(upload, "upload"))
    sums = []
    for model in (head(), other):
        laid_out = np.rint(client._layout.place_weights(client._scales.weights * model.weights))
        product = [
            multiply(sent, transformed(residues(laid_out, prime), prime), prime)
            for sent, prime in zip(own, client._primes, strict=True)
        ]
        places = client._layout.places
        sums.append([coefficient(product, int(place), client._primes) for place in places])
    apart = [abs(one - two) for one, two in zip(*sums, strict=True)]
    assert min(apart) > 0  # without the flood, either head would be recognised for certain
    flood = plan(PARAMETERS, head()).flood
    assert sum(apart) / (2 * flood + 1) < 2.0**-LEAK_BITS


@dataclass(frozen=True)
class Seen:
    """What a client has of one image: its own upload and the reply, both decrypted and whole."""

    client: Any
    sent: list[np.ndarray]
    found: list[np.ndarray]
    second_sent: list[np.ndarray]
    second_found: list[np.ndarray]

    def product(self, values: list[np.ndarray], believed: LinearModel) -> list[np.ndarray]:
        """Values times the weights of a head."""
        scale, layout = self.client._scales.weights, self.client._layout
        laid_out = np.rint(layout.place_weights(scale * believed.weights))
        return [
            multiply(there, transformed(residues(laid_out, prime), prime), prime)
            for there, prime in zip(values, self.client._primes, strict=True)
        ]

    def less(self, left: list[np.ndarray], right: list[np.ndarray]) -> np.ndarray:
        """The first coefficients of the difference, as whole numbers."""
        primes = self.client._primes
        pairs = zip(left, right, primes, strict=True)
        return whole_numbers(self.client, [subtract(*pair) for pair in pairs])


def one_image(server: ZeroSumServer) -> Seen:
    """An honest image for which ``head()`` and its twin have equal scores."""
    client, _ = client_and_material()
    (upload,) = client.protect(twin()[1], clock())
    (reply,) = server.infer([upload], clock())
    sent = client.shape_of(2, client._scales.features).load(upload, "upload")
    found = client._shape.load(reply, "reply")
    both = [decrypted(client, one) for one in (sent, found)]
    return Seen(client, *both, *(second_polynomial(client, one) for one in (sent, found)))


def misfit_elsewhere(seen: Seen, believed: LinearModel) -> float:
    """By the low digits of what is masked."""
    left = seen.less(seen.found, seen.product(seen.sent, believed))
    digits = np.abs((left + BARE // 2) % BARE - BARE // 2)
    return float(np.delete(digits, seen.client._layout.places).sum())


def misfit_below_the_scores(seen: Seen, believed: LinearModel) -> float:
    """By the digits below each score."""
    left = seen.less(seen.found, seen.product(seen.sent, believed))
    biases = np.rint(seen.client._scales.reply * believed.bias)
    whole = np.array([int(bias) for bias in biases], dtype=object)
    return float(np.abs(left[seen.client._layout.places] - whole).sum())


def misfit_of_the_second_polynomial(seen: Seen, believed: LinearModel) -> float:
    """By the polynomial that does not show in a decryption."""
    left = seen.less(seen.second_found, seen.product(seen.second_sent, believed))
    return float(np.abs(left).sum())


def games_won(
    kind: type[ZeroSumServer], misfit: Callable[[Seen, LinearModel], float], games: int
) -> int:
    """How often an honest client says right which of two heads of equal scores has answered."""
    heads = head(), twin()[0]
    servers = [server_of(kind, model) for model in heads]
    coins = np.random.default_rng(11).integers(2, size=games)
    seen = [one_image(servers[coin]) for coin in coins]
    guesses = [misfit(one, heads[0]) > misfit(one, heads[1]) for one in seen]
    return int((np.array(guesses) == coins).sum())


GAMES = 60  # a fair coin is right 13 to 47 times, but for two times in a million


@pytest.mark.parametrize(
    ("misfit", "broken"),
    [
        (misfit_elsewhere, MaskOfDoubles),
        (misfit_below_the_scores, NotFlooded),
        (misfit_of_the_second_polynomial, NotRerandomised),
    ],
)
def test_two_heads_of_equal_scores_are_told_apart_by_no_better_than_a_coin(
    misfit: Callable[[Seen, LinearModel], float], broken: type[ZeroSumServer]
) -> None:
    """The same attack wins every game against a server that lacks the one defence."""
    assert games_won(broken, misfit, games=8) == 8
    assert 12 < games_won(ZeroSumServer, misfit, GAMES) < 48


def weights_by_division(server: ZeroSumServer) -> Float64Array:
    """The reply's second polynomial over the upload's own, as weights: (2, width)."""
    seen = one_image(server)
    ratio = [
        multiply(found, inverse(sent, prime), prime)
        for found, sent, prime in zip(
            seen.second_found, seen.second_sent, seen.client._primes, strict=True
        )
    ]
    whole = whole_numbers(seen.client, ratio)[: 2 * WIDTH].astype(np.float64)
    return whole.reshape(2, WIDTH)[:, ::-1] / seen.client._scales.weights


@pytest.mark.parametrize("broken", [NotRerandomised, Trusting])
def test_one_division_gives_all_weights_where_the_second_polynomial_is_not_hidden(
    broken: type[ZeroSumServer],
) -> None:
    assert np.abs(weights_by_division(server_of(broken)) - head().weights).max() < 1e-3


def test_one_division_gives_no_weight_to_the_maker_of_any_public_key() -> None:
    """Honest keys, and one whose maker chose all that a key's maker can choose."""
    client, _ = client_and_material()
    chosen = np.zeros_like(client.public_arrays()[PUBLIC_KEY])
    hostile = ZeroSumServer(PARAMETERS, head(), {PUBLIC_KEY: chosen})
    for server in (server_of(ZeroSumServer), hostile):
        found = weights_by_division(server)
        largest = np.prod([float(prime) for prime in client._primes]) / client._scales.weights
        assert np.abs(found).max() > largest / 8
        assert np.abs(found - head().weights).min() > 1


def test_flood_numbers_are_whole_even_and_fresh() -> None:
    drawn = flood_numbers(20_000, 3)
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert counts.min() > 0.9 * 20_000 / 7
    assert flood_numbers(3, 1 << 60) != flood_numbers(3, 1 << 60)


@pytest.mark.parametrize("classes", [2, 3, 11])
def test_a_mask_is_zero_at_the_scores_and_uniform_elsewhere(classes: int) -> None:
    layout = CoefficientLayout(WIDTH, classes, 4096)
    drawn = coefficients(mask(layout, PRIME), PRIME)
    assert not drawn[layout.places].any()
    rest = np.delete(drawn, layout.places) / PRIME + 0.5
    counts = np.histogram(rest, bins=16, range=(0, 1))[0]
    assert ((counts - len(rest) / 16) ** 2 / (len(rest) / 16)).sum() < 50
    lowest = np.unique(np.delete(drawn, layout.places) % 256, return_counts=True)[1]
    assert len(lowest) == 256 and lowest.max() < 50
    assert (drawn != coefficients(mask(layout, PRIME), PRIME)).mean() > 0.99


def test_what_is_decrypted_is_uniform_but_for_the_scores() -> None:
    client, server = deployed()
    features = np.random.default_rng(3).normal(size=(2, WIDTH))
    replies = server.infer(client.protect(features, clock()), clock())
    found = decrypted(client, client._shape.load(replies[0], "reply"))[0]
    share = coefficients(found, client._primes[0]) / client._primes[0] + 0.5
    assert share.mean() == pytest.approx(0.5, abs=0.03)
    assert share.std() == pytest.approx(12**-0.5, rel=0.05)
    scores = client.reveal(replies, clock())
    np.testing.assert_allclose(scores, head().scores(features), atol=1e-3)


def test_the_second_polynomial_of_a_reply_is_not_the_clients_own_times_the_weights() -> None:
    """Two uploads with one second polynomial: without re-randomising, two equal ones come back."""
    client, server = deployed()
    (upload,) = client.protect(np.ones((1, WIDTH)), clock())
    first, second = (
        client._shape.load(server.infer([upload], clock())[0], "reply") for _ in range(2)
    )
    difference = client._seal.Ciphertext()
    client._seal.Evaluator(client._context).sub(first, second, difference)
    assert not difference.is_transparent()


def test_the_error_stays_within_the_prediction() -> None:
    generator = np.random.default_rng(0)
    model = LinearModel(generator.normal(scale=0.05, size=(2, 384)), np.zeros(2))
    made = make_plan(model, "zero-sum", "auto")
    client = made.packing.make_client(made.parameters, model)
    server = load_public_material(public_material(made, client.public_arrays()))
    features = np.clip(generator.normal(size=(12, 384)), -CLIP, CLIP)
    scores = client.reveal(server.infer(client.protect(features, clock()), clock()), clock())
    told = load_packing("zero-sum").facts(PARAMETERS, model)["predicted_score_error_5_sigma"]
    error = np.abs(scores - model.scores(features)).max()
    assert told / 20 < error < told


def test_the_largest_scores_do_not_overflow() -> None:
    client, server = deployed()
    features = CLIP * np.sign(np.vstack([head().weights, -head().weights]))
    scores = client.reveal(server.infer(client.protect(features, clock()), clock()), clock())
    np.testing.assert_allclose(scores, head().scores(features), atol=1e-3)


def test_the_leak_is_stated_and_the_server_gets_no_evaluation_key() -> None:
    client, _ = deployed()
    told = load_packing("zero-sum").facts(PARAMETERS, head())
    assert told["experiment"] is True
    assert "2^-30" in told["leaks_to_client"]
    assert "follows the protocol" in told["leaks_to_client"]
    assert list(client.public_arrays()) == ["public_key"]


def test_heads_of_more_weights_than_coefficients_are_refused() -> None:
    wide = LinearModel(np.ones((11, 1024)), np.zeros(11))
    with pytest.raises(UsageError, match="more than 4096 coefficients"):
        make_plan(wide, "zero-sum", "n4096-106-flat")


def test_weights_of_absurd_size_are_refused_in_words() -> None:
    wild = LinearModel(np.full((2, WIDTH), 1e300), np.full(2, 1e300))
    with pytest.raises(UsageError, match="scores would be off"):
        make_plan(wild, "zero-sum", "auto")


@pytest.mark.parametrize("name", ["n4096", "n4096-106", "n8192-144"])
def test_a_modulus_too_short_for_the_mask_is_refused_or_precise(name: str) -> None:
    model = head()
    misfit = load_packing("zero-sum").misfit(PARAMETER_SETS[name], model)
    predicted = plan(PARAMETER_SETS[name], model).predicted_error
    assert ("scores would be off" in misfit) == (predicted > 1e-2)


def test_a_foreign_or_truncated_public_key_is_refused() -> None:
    _, material = client_and_material()
    with pytest.raises(MessageError):
        load_public_material(material[: len(material) // 2])
