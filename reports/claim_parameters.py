"""Parameters of claims as a reader understands them: a name in words, a value, what it means.

Claims come from pipelines, also from those of others: a name that is not known here is printed in
words with no meaning beside it, and what is nested is laid out flat. Nothing is printed as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from he_compare.common.run.spelling import significant, size

# Told in the tables of lattices, estimates and precision.
TOLD_OF_LATTICES = frozenset(
    {
        "N", "log2_Q", "secret_distribution", "sigma", "verdicts", "lwe", "security_bits",
        "security_attack", "failure_probability", "global_p_error", "parameter_set",
    }
)  # fmt: skip
LONGEST_VALUE, LONGEST_STATEMENT = 400, 3000
MOST_DEEP = 3
MOST_ROWS = 60
NO_DESCRIPTION = "no description is known"


@dataclass(frozen=True)
class Meaning:
    """What a parameter is called and what it means; ``unit``: what its number counts."""

    name: str
    meaning: str
    unit: str = ""


@dataclass(frozen=True)
class NamedValue:
    """One parameter as it is printed."""

    name: str
    value: str
    meaning: str


MEANINGS: dict[str, Meaning] = {
    # Lattices, where no table of theirs has them
    "N": Meaning("Ring degree N", "dimension of the lattice problem"),
    "log2_Q": Meaning("Modulus", "the largest that a key is published under", "bits"),
    "sigma": Meaning("Width of the errors", "standard deviation"),
    "secret_distribution": Meaning("Secret", "how secret keys are drawn"),
    "verdicts": Meaning("Verdicts", "of published tables"),
    "lwe": Meaning("Kinds of ciphertexts", "as the library states"),
    "security_bits": Meaning("Estimated bits", "of the weakest of them"),
    "security_attack": Meaning("Attack", "whose cost is estimated"),
    "failure_probability": Meaning("Probability of a wrong result", "of a circuit"),
    "global_p_error": Meaning("Probability of a wrong result", "of a circuit"),
    "parameter_set": Meaning("Parameter set", "by name"),
    # CKKS
    "packing": Meaning("Packing", "how features and classes are laid out in a ciphertext"),
    "inference_packing": Meaning("Packing of inference", "how features are laid out in a query"),
    "scale_log2": Meaning("Scale", "numbers are multiplied by it before rounding", "bits"),
    "modulus_bits": Meaning("Primes of the modulus", "first to last, key switching last", "bits"),
    "multiplicative_depth": Meaning("Depth", "multiplications in a row that parameters allow"),
    "score_bound": Meaning("Bound of a score", "no score of this head is larger"),
    "interface": Meaning("Interface", "through which library functions it computes"),
    "galois_keys": Meaning("Rotation keys", "published keys that let the server rotate slots"),
    "rotations": Meaning("Rotations", "rotations of one query"),
    "rotations_before_rescale": Meaning("Rotations before rescaling", "of those, done early"),
    "reply_scale_log2": Meaning("Scale of a reply", "what decoded numbers are divided by", "bits"),
    "upload_scale_log2": Meaning("Scale of an upload", "what features are multiplied by", "bits"),
    "score_flood_log2": Meaning("Flooding of scores", "size of the noise added to hide", "bits"),
    "predicted_score_error_5_sigma": Meaning(
        "Predicted error of a score", "five standard deviations of the noise"
    ),
    "seeded_upload": Meaning("Seeded upload", "half of a ciphertext is sent as its seed"),
    "replies": Meaning("Ciphertexts per reply", "sent back for one image"),
    "images_per_batch_at_most": Meaning("Images per batch", "at most"),
    "ciphertexts_up_per_batch": Meaning("Ciphertexts per batch, up", "sent to the server"),
    "ciphertexts_down_per_batch": Meaning("Ciphertexts per batch, down", "sent back"),
    "modulus_in_use_log2": Meaning("Modulus in use", "under which ciphertexts travel", "bits"),
    "evaluation_key_bytes": Meaning("Evaluation keys", "published once", "bytes"),
    "public_material_bytes": Meaning("Public material of inference", "sent once", "bytes"),
    "decryptions_go_to": Meaning("Who sees decrypted results", "as the pipeline states"),
    "security_rests_on": Meaning("Security rests on", "as the pipeline states"),
    "experiment": Meaning("Experiment", "yes: not meant for use"),
    "leaks_to_client": Meaning("What the client learns beyond scores", "as the pipeline states"),
    # Training under CKKS
    "use": Meaning("Use of the head", "whether it stays encrypted at the server"),
    "weights_seen_by": Meaning("Who sees the weights", "as the pipeline states"),
    "keys": Meaning("Keys", "how many secret keys there are"),
    "training": Meaning("Training", "parameters of the training"),
    "diagonals": Meaning("Diagonals", "of the matrix product in a step"),
    "groups_of_rows": Meaning("Groups of rows", "of training images in a ciphertext"),
    "classes_per_ciphertext": Meaning("Classes per ciphertext", "trained side by side"),
    "batches": Meaning("Batches", "into which training images are split"),
    "baby_steps": Meaning("Baby steps", "rotations that are shared in a matrix product"),
    "client_in_the_loop": Meaning("Client in the loop", "whether it helps between steps"),
    "levels_of_a_step": Meaning("Levels of a step", "primes that one step uses up"),
    "steps_between_visits_to_the_client": Meaning("Steps between visits to the client", ""),
    "server_bytes_with_one_process": Meaning("Server memory", "with one process", "bytes"),
    # LWE and TFHE
    "n_bits": Meaning("Bits of weights and features", "they are rounded to as many"),
    "message_bits": Meaning("Bits of a message", "the largest integer that is encrypted"),
    "security_level_targeted": Meaning("Security aimed at", "by Concrete’s compiler", "bits"),
    "p_error": Meaning(
        "Probability of a wrong table look-up",
        "as the compiler states; without look-ups it has no effect",
    ),
    "complexity": Meaning("Cost by Concrete’s model", "no unit of time"),
    "programmable_bootstrap_count": Meaning("Bootstraps", "0: LWE alone, no bootstrapping"),
    "key_switch_count": Meaning("Key switches", "per image"),
    "clear_multiplication_count": Meaning("Multiplications by constants", "per image"),
    "encrypted_addition_count": Meaning("Additions of ciphertexts", "per image"),
    "size_of_bootstrap_keys": Meaning("Bootstrapping keys", "published once", "bytes"),
    "size_of_keyswitch_keys": Meaning("Key-switching keys", "published once", "bytes"),
    "size_of_inputs": Meaning("Encrypted inputs", "per image", "bytes"),
    "size_of_outputs": Meaning("Encrypted outputs", "per image", "bytes"),
    "server_archive_bytes": Meaning("Circuit as text", "sent once", "bytes"),
    "archives": Meaning("Archives", "how the server gets its circuit"),
    "licence": Meaning("Licence", "of the library"),
    "training_circuit": Meaning("Training circuit", "parameters of the training"),
    # Scrambling
    "cipher": Meaning("Cipher", "by name"),
    "mode": Meaning("Way to a model", "trained on scrambled images, or a plain model adapted"),
    "patch": Meaning("Block", "side of a block that is scrambled", "pixels"),
    "negative_positive": Meaning("Negation", "whether the key negates some pixels"),
    "shared_pixel_key": Meaning("One key for all blocks", "whether blocks share their pixel key"),
    "mix_channels": Meaning("Channels mixed", "whether values move between colour channels"),
    "nibble_split": Meaning("Halves of bytes", "whether bytes are split before they are moved"),
    "clients": Meaning("Clients", "each with a key of its own"),
    "wrong_key": Meaning("Wrong key", "control: keys of training and use differ"),
    "interpretation": Meaning("Reading of the paper", "choices that the paper leaves open"),
}


def named_values(
    parameters: Mapping[str, Any], told_elsewhere: frozenset[str] = frozenset()
) -> list[NamedValue]:
    """Return the parameters of a claim in words, at most ``MOST_ROWS``.

    ``told_elsewhere``: keys to leave out, at any depth.
    """
    found = list(_laid_out(parameters, told_elsewhere, "", 0))
    left = len(found) - MOST_ROWS
    if left <= 0:
        return found
    return [*found[:MOST_ROWS], NamedValue("More", f"{left} more are in the record", "")]


def _laid_out(
    parameters: Mapping[str, Any], without: frozenset[str], before: str, depth: int
) -> Iterator[NamedValue]:
    for key, value in parameters.items():
        if key in without or value is None:
            continue
        known = MEANINGS.get(key, Meaning(_in_words(key), NO_DESCRIPTION))
        name = f"{before}: {known.name[:1].lower()}{known.name[1:]}" if before else known.name
        if isinstance(value, Mapping) and depth < MOST_DEEP:
            yield from _laid_out(value, without, name, depth + 1)
        else:
            yield NamedValue(name, value_in_words(value, known.unit), known.meaning)


def _in_words(key: str) -> str:
    words = str(key).replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def value_in_words(
    value: Any, unit: str = "", longest: int = LONGEST_VALUE, between: str = ", "
) -> str:
    """Spell a value: yes or no, a number with its unit, a list with commas; long text is cut."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(value, unit)
    if isinstance(value, Mapping):
        parts = [f"{_in_words(key).lower()} {value_in_words(one)}" for key, one in value.items()]
        text = ", ".join(parts)
    elif isinstance(value, list | tuple):
        listed = [value_in_words(one) for one in value]
        text = (between.join(listed) or "none") + (f" {unit}" if unit and listed else "")
    else:
        text = "none" if value is None else str(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _number(value: float, unit: str) -> str:
    if unit == "bytes":
        return size(value)
    text = f"{value:,}" if isinstance(value, int) else significant(value)
    return f"{text} {unit}".rstrip()
