"""Keys: where they come from, how they lie on disk, what is drawn from them, and that they hide."""

from __future__ import annotations

import base64
import collections
import copy
import hmac
import itertools
import json
import os
import pickle
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scipy.stats import chi2, kstest

from he_compare.block_scramble.cipher import SubKeys
from he_compare.block_scramble.keys import key_files
from he_compare.block_scramble.keys.client_key import ClientKey, dataset_key
from he_compare.block_scramble.keys.keystream import Keystream
from he_compare.common.errors import UsageError

posix_only = pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")


def written_key_file(tmp_path: Path, **changes: Any) -> Path:
    """A good key file with some fields changed; a field set to None is left out."""
    path = tmp_path / "client.key"
    key_files.create(path)
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return path


def test_generated_keys_are_256_bits_and_differ() -> None:
    keys = [ClientKey.generate() for _ in range(20)]
    assert len({key.secret_bytes() for key in keys}) == 20
    assert {len(key.secret_bytes()) for key in keys} == {32}
    assert {key.entropy_bits for key in keys} == {256.0}
    assert {key.insecure for key in keys} == {""}


@posix_only
def test_new_key_file_is_readable_by_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key_files.create(tmp_path / "deep" / "client.key")
    finally:
        os.umask(before)
    mode = (tmp_path / "deep" / "client.key").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["client.key"]


def test_key_file_gives_back_the_key(tmp_path: Path) -> None:
    made = key_files.load_or_create(tmp_path / "client.key")
    assert key_files.load_or_create(tmp_path / "client.key").secret_bytes() == made.secret_bytes()


def test_an_existing_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    key_files.create(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        key_files.create(path)
    assert path.read_bytes() == before


def test_processes_that_make_the_key_file_at_once_get_one_key(tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: key_files.load_or_create(path), range(16)))
    assert len({key.secret_bytes() for key in keys}) == 1
    assert [p.name for p in tmp_path.glob("*client.key*")] == ["client.key"]


def test_rotation_puts_a_new_key_in_place_and_keeps_the_old_one_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    keys = [
        key_files.create(path, note="ward 3"),
        key_files.rotate(path),
        key_files.rotate(path, "new"),
    ]
    prints = [key.fingerprint for key in keys]
    assert len(set(prints)) == 3
    assert key_files.load(path).secret_bytes() == keys[2].secret_bytes()
    for key in keys[:2]:
        retired = key_files.retired_path(path, key.fingerprint)
        assert retired.name == f"client.key.{key.fingerprint}"
        assert key_files.load(retired).secret_bytes() == key.secret_bytes()
    info = key_files.describe(path)
    assert (info.fingerprint, info.generation, info.note) == (prints[2], 3, "new")
    assert info.previous == tuple(prints[:2])
    assert len(list(tmp_path.iterdir())) == 3


@posix_only
def test_rotated_key_files_stay_readable_by_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    key_files.create(path)
    key_files.rotate(path)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_rotation_is_refused_where_the_retired_key_is_there_already(tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    key = key_files.create(path)
    key_files.retired_path(path, key.fingerprint).write_text("in the way")
    with pytest.raises(UsageError, match="is another file than"):
        key_files.rotate(path)
    assert key_files.load(path).secret_bytes() == key.secret_bytes()
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(UsageError, match="cannot read the key file"):
        key_files.rotate(tmp_path / "none.key")


def test_many_rotations_keep_the_file_small(tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    key_files.create(path)
    for _ in range(key_files.MAX_PREVIOUS + 6):
        key_files.rotate(path)
    info = key_files.describe(path)
    assert info.generation == key_files.MAX_PREVIOUS + 7
    assert len(info.previous) == key_files.MAX_PREVIOUS


def test_description_of_a_key_file_holds_no_key_material(tmp_path: Path) -> None:
    key = key_files.create(tmp_path / "client.key")
    shown = repr(key_files.describe(tmp_path / "client.key"))
    assert key.fingerprint in shown
    encoded = base64.b64encode(key.secret_bytes()).decode()
    assert encoded not in shown and key.secret_bytes().hex() not in shown


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"generation": 0}, "generation is 0"),
        ({"generation": "two"}, "generation is 'two'"),
        ({"previous": "abc"}, "no list of texts"),
        ({"previous": [1]}, "no list of texts"),
    ],
)
def test_a_history_that_does_not_parse_is_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        key_files.describe(written_key_file(tmp_path, **changes))


def test_key_files_from_before_rotation_are_of_the_first_generation(tmp_path: Path) -> None:
    info = key_files.describe(written_key_file(tmp_path, generation=None, previous=None))
    assert (info.generation, info.previous) == (1, ())


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666])
def test_key_file_open_to_others_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, mode: int
) -> None:
    path = written_key_file(tmp_path)
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"mode {mode:04o}.*chmod 600"):
        key_files.load(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": "somebody else's key"}, 'format is "somebody else\'s key"'),
        ({"format": None}, "format is None"),
        ({"version": 2}, "version is 2, this program reads 1"),
        ({"key": None}, "0 bytes instead of 32"),
        ({"key": base64.b64encode(bytes(31)).decode()}, "31 bytes instead of 32"),
        ({"key": "no base64!"}, "no base64"),
        ({"entropy_bits": 1e9}, "entropy_bits are 1000000000.0"),
        ({"insecure": None}, "insecure flag is None"),
        ({"note": "x" * 5000}, "longer than 4096 bytes"),
    ],
)
def test_foreign_key_file_is_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError) as caught:
        key_files.load(written_key_file(tmp_path, **changes))
    assert reason in caught.value.problem
    assert caught.value.fix


@pytest.mark.parametrize("content", [b"", b"{", b'"text"', b"[]", b"\xff\xfe\x00", None])
def test_damaged_key_file_is_refused_without_quoting_it(
    tmp_path: Path, content: bytes | None
) -> None:
    path = written_key_file(tmp_path)
    secret = json.loads(path.read_text())["key"]
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(UsageError, match="no usable key file") as caught:
        key_files.load(path)
    assert secret not in str(caught.value)


def test_missing_key_file_is_refused_by_load(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the key file"):
        key_files.load(tmp_path / "none.key")


def test_key_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the key file"):
        key_files.create(tmp_path / "file" / "client.key")


def test_seeded_key_is_reproducible_and_says_that_it_is_insecure(tmp_path: Path) -> None:
    key = ClientKey.from_seed(7)
    assert key.secret_bytes() == ClientKey.from_seed(7).secret_bytes()
    assert key.secret_bytes() != ClientKey.from_seed(8).secret_bytes()
    assert key.entropy_bits == 32
    assert "32-bit seed" in key.insecure
    assert key.subkey("a").entropy_bits == 32
    assert key.subkey("a").insecure == key.insecure
    key_files.save(tmp_path / "seeded.key", key)
    assert key_files.load(tmp_path / "seeded.key").insecure == key.insecure
    assert key_files.load(tmp_path / "seeded.key").entropy_bits == 32


@pytest.mark.parametrize(
    "choice", ["seeded:", "seeded:-1", "seeded:4294967296", "seeded:x", "seeded:1.5", "7", ""]
)
def test_other_key_choices_are_refused(tmp_path: Path, choice: str) -> None:
    with pytest.raises(UsageError, match="key"):
        key_files.obtain_key(choice, tmp_path / "client.key")


def test_every_bit_of_a_seed_counts() -> None:
    seeds = [0, *(1 << bit for bit in range(32))]
    assert len({ClientKey.from_seed(seed).secret_bytes() for seed in seeds}) == 33


def test_key_choices_read_the_file_or_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    seeded = key_files.obtain_key("seeded:4294967295", path)
    assert seeded.secret_bytes() == ClientKey.from_seed(2**32 - 1).secret_bytes()
    assert not path.exists()
    made = key_files.obtain_key("client", path)
    assert key_files.load(path).secret_bytes() == made.secret_bytes()


def test_fingerprint_names_the_key_and_holds_none_of_its_bytes() -> None:
    key, other = ClientKey.from_seed(1), ClientKey.from_seed(2)
    assert key.fingerprint == ClientKey.from_seed(1).fingerprint
    assert key.fingerprint != other.fingerprint
    assert len(key.fingerprint) == 16
    windows = {key.secret_bytes()[i : i + 3] for i in range(30)}
    printed = bytes.fromhex(key.fingerprint)
    assert not windows & {printed[i : i + 3] for i in range(6)}


def test_key_objects_show_no_key_material_and_are_not_pickled() -> None:
    key = ClientKey.generate()
    for shown in (repr(key), str(key), f"{key}"):
        assert key.secret_bytes().hex() not in shown
        assert repr(key.secret_bytes()) not in shown
        assert key.fingerprint in shown
    for kept in (key, key.stream("any"), SubKeys(key, ("purpose",))):
        for work in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="not pickled and not copied"):
                work(kept)


@posix_only
def test_a_key_file_of_another_user_is_refused_with_both_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "client.key"
    key = key_files.create(path)
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    for work in (key_files.load, key_files.load_or_create, key_files.describe, key_files.rotate):
        with pytest.raises(UsageError) as caught:
            work(path)
        assert f"belongs to another user (uid {owner}, you are {owner + 1})" in caught.value.problem
        assert "key file of your own" in caught.value.fix
    assert [file.name for file in tmp_path.iterdir()] == ["client.key"]
    for user in (owner, 0):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert key_files.load(path).fingerprint == key.fingerprint


def test_a_process_that_holds_a_key_writes_no_core_file() -> None:
    pytest.importorskip("resource")
    code = (
        "import resource as r; _, hard = r.getrlimit(r.RLIMIT_CORE);"
        "r.setrlimit(r.RLIMIT_CORE, (hard, hard));"
        "from he_compare.block_scramble.keys.client_key import ClientKey as K;"
        "print(r.getrlimit(r.RLIMIT_CORE) == (hard, hard)); K.generate();"
        "print(r.getrlimit(r.RLIMIT_CORE)[0] == 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "True"]


def test_dataset_key_follows_client_key_dataset_and_seed() -> None:
    key = ClientKey.from_seed(0)
    same = dataset_key(ClientKey.from_seed(0), "abc", 1)
    assert dataset_key(key, "abc", 1).secret_bytes() == same.secret_bytes()
    others = [
        dataset_key(key, "abc", 2),
        dataset_key(key, "abd", 1),
        dataset_key(ClientKey.from_seed(1), "abc", 1),
        key,
    ]
    assert same.secret_bytes() not in {other.secret_bytes() for other in others}


def test_subkeys_are_hkdf_sha256_of_the_length_prefixed_purpose() -> None:
    key = ClientKey.from_seed(3)
    info = b"he-compare block-scramble 1\x00\x00\x00\x05block\x00\x00\x00\x05order"
    pseudorandom = hmac.digest(bytes(32), key.secret_bytes(), "sha256")
    expected = hmac.digest(pseudorandom, info + b"\x01", "sha256")
    assert key.subkey("block", "order").secret_bytes() == expected


def test_purposes_that_join_to_the_same_text_have_other_subkeys() -> None:
    key = ClientKey.from_seed(3)
    purposes = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), (), ("", "abc"), ("c", "ab")]
    assert len({key.subkey(*purpose).secret_bytes() for purpose in purposes}) == len(purposes)


def test_streams_of_two_purposes_are_uncorrelated() -> None:
    key = ClientKey.from_seed(5)
    n = 1 << 16
    first = key.stream("block order").uint8((n,)).astype(float)
    second = key.stream("value order").uint8((n,)).astype(float)
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(n)


def test_keystream_is_aes_256_in_counter_mode_from_zero() -> None:
    subkey = bytes(range(32))
    block = Cipher(algorithms.AES256(subkey), modes.ECB()).encryptor()
    counters = b"".join(i.to_bytes(16, "big") for i in range(4))
    expected = block.update(counters)
    assert Keystream(subkey).read(64) == expected
    assert Keystream(subkey).uint8((8, 8)).tobytes() == expected
    assert Keystream(subkey).words((2,)).tolist() == [
        int.from_bytes(expected[:8], "little"),
        int.from_bytes(expected[8:16], "little"),
    ]
    bits = "".join(f"{byte:08b}" for byte in expected[:2])
    assert Keystream(subkey).bits((13,)).tolist() == [bit == "1" for bit in bits[:13]]


def test_large_arrays_continue_one_stream() -> None:
    subkey = bytes(32)
    whole = Keystream(subkey).uint8((3 << 20,))
    assert whole.tobytes() == Keystream(subkey).read(3 << 20)
    stream = Keystream(subkey)
    parts = [stream.uint8((1000,)), stream.uint8((7,)), stream.uint8((50,))]
    assert np.concatenate(parts).tobytes() == whole[:1057].tobytes()


@pytest.mark.parametrize("size", [1, 2, 588, 768, 1875])
def test_permutations_are_bijections(size: int) -> None:
    drawn = ClientKey.from_seed(0).stream("test").permutations(5, size)
    assert drawn.shape == (5, size)
    assert (np.sort(drawn, axis=1) == np.arange(size)).all()


def chi_square_of_orders(drawn: np.ndarray) -> float:
    """Upper tail probability that uniform orders deviate at least as much."""
    orders = list(itertools.permutations(range(drawn.shape[1])))
    counts = collections.Counter(map(tuple, drawn.tolist()))
    expected = len(drawn) / len(orders)
    statistic = sum((counts[order] - expected) ** 2 / expected for order in orders)
    return float(chi2.sf(statistic, len(orders) - 1))


@pytest.mark.parametrize("seed", range(4))
def test_every_order_is_equally_likely(seed: int) -> None:
    drawn = ClientKey.from_seed(seed).stream("chi-square").permutations(24_000, 4)
    assert 1e-3 < chi_square_of_orders(drawn) < 1 - 1e-3


def test_every_value_is_equally_likely_at_every_place() -> None:
    drawn = ClientKey.from_seed(9).stream("chi-square").permutations(20_000, 16)
    for place in range(16):
        counts = np.bincount(drawn[:, place], minlength=16)
        statistic = ((counts - 1250) ** 2 / 1250).sum()
        assert 1e-4 < chi2.sf(statistic, 15) < 1 - 1e-4


class CoarseStream(Keystream):
    """Words of three bits, so that ties are the rule and have to be redrawn."""

    def words(self, shape: tuple[int, ...]) -> np.ndarray:
        return super().words(shape) >> np.uint64(61)


def test_orders_stay_uniform_where_words_tie() -> None:
    drawn = CoarseStream(bytes(32)).permutations(24_000, 4)
    assert (np.sort(drawn, axis=1) == np.arange(4)).all()
    assert 1e-3 < chi_square_of_orders(drawn) < 1 - 1e-3


def test_bits_are_fair_and_independent_of_their_neighbours() -> None:
    bits = ClientKey.from_seed(4).stream("bits").bits((1 << 16,))
    assert abs(bits.mean() - 0.5) < 4 * 0.5 / 256
    assert abs((bits[1:] == bits[:-1]).mean() - 0.5) < 4 * 0.5 / 256


def test_half_of_the_elements_are_chosen_evenly() -> None:
    stream = ClientKey.from_seed(6).stream("half")
    chosen = np.array([stream.half(9) for _ in range(9000)])
    assert (chosen.sum(axis=1) == 4).all()
    counts = chosen.sum(axis=0)
    assert np.abs(counts / 9000 - 4 / 9).max() < 0.025


def test_normal_values_are_normal_and_independent() -> None:
    drawn = ClientKey.from_seed(8).stream("normal").normals((301, 101))
    assert drawn.shape == (301, 101)
    assert kstest(drawn.ravel(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(drawn[:150].ravel(), drawn[150:300].ravel())[0, 1]) < 0.03
