"""Fields that older records do not have, read off the sentences and names that said the same.

Records are made with these fields and sentences are made from them; this is the only place where a
sentence is read back, or a pipeline known by its name. It knows both as they were when the fields
did not exist.
"""

from __future__ import annotations

from typing import Any

from he_compare.common.types import Aim, NotRun, Split

# Where one of these is in a stored outcome, it was written with all of them.
ADDED = frozenset({"controls_failed", "not_run", "promised"})
TASKS = ("inference", "training")
# The pipelines that existed before a plan named twins, and the models they protect.
LOGISTIC = ("plaintext", {"model": "logistic"})
OLD_TWINS: dict[str, tuple[str, dict[str, str]]] = {
    "block-scramble": ("plaintext", {"model": "finetune"}),
    "block-scramble-convnet": ("convnet", {}),
    "fhe-head": LOGISTIC,
    "fhe-train": LOGISTIC,
    "fhe-tfhe": LOGISTIC,
    "fhe-tfhe-train": LOGISTIC,
}
DEFAULT_SUBSETS = ("", "published", "full", "all")
PLAIN, FINETUNE = "plaintext", "finetune"
CONTROL, NOT_CLAIMED = "control ", "not claimed: "
NO_PICTURES = "its messages are no pictures that this attack could read"
# What the attacks and checks of this project try to take, as they were named before they said it.
AIMS: dict[Aim, tuple[str, ...]] = {
    Aim.IMAGE: (
        "blind_rotation",
        "block_histories",
        "block_statistics",
        "brightness_prior",
        "chosen_plaintext",
        "feature_inversion",
        "jigsaw",
        "known_plaintext",
        "leading_bit",
        "learned_jigsaw",
        "learned_linear",
        "learned_unet",
        "learned_unet_other_keys",
        "minimum_difference",
        "moment_matching",
        "nibble_histories",
        "substitution",
        "unaltered",
    ),
    Aim.ANSWER: ("property_inference",),
    Aim.LINKS: ("freshness", "naming_by_histories", "reidentification"),
    Aim.KEY: ("key_space", "model_to_key", "server_state", "shared_key_correlation"),
    Aim.DECRYPTIONS: ("decryptions", "ind_cpa_d", "sample_gradient"),
    Aim.INTEGRITY: ("malformed_messages", "malleability"),
    Aim.MODEL: ("head_extraction",),
}
RESISTS, ON_HARDNESS = "resists within budget", "(reduction to a hardness assumption)"
# Attacks that always aligned what they made with the originals.
ALIGNED = ("blind_rotation", "jigsaw", "learned_jigsaw", "nibble_histories", "substitution")
NOT_RUN = (
    (NotRun.BUDGET, "budget too small: "),
    (NotRun.ERROR, "failed: "),
    (NotRun.AUDIT_TIME, " of the whole audit were used up"),
    (NotRun.TIME_LIMIT, "over its limit of "),
)


def with_outcome_facts(values: Any) -> Any:
    """Return the values of a stored outcome with the fields that it lacks; others as they are."""
    if not isinstance(values, dict):
        return values
    found = dict(values)
    if "scheme" not in found:
        found["scheme"] = _scheme_of(found)
    if "counts_as" not in found:
        found["counts_as"] = _what_it_counts_as(found)
    if "aligned" not in found:
        found["aligned"] = found.get("attack") in ALIGNED and bool(found.get("metric"))
    if "aim" not in found:
        named = (aim for aim, names in AIMS.items() if found.get("attack") in names)
        found["aim"] = next(named, None)
    if not ADDED.isdisjoint(values):
        return found
    claim, reason = str(values.get("claim", "")), str(values.get("reason", ""))
    found["controls_failed"] = _controls_failed(values.get("unreliable", []))
    found["promised"] = not claim.startswith(NOT_CLAIMED)
    found["claim"] = claim.removeprefix(NOT_CLAIMED)
    if values.get("verdict") == "not run":
        found["not_run"] = _why_not_run(reason)
    if values.get("verdict") == "not applicable" and reason == NO_PICTURES:
        found["verdict"] = "unreadable"
    return found


def with_wrong_answers(values: Any) -> Any:
    """Return the values of a stored point with the wrong answers counted: what is left over."""
    if not isinstance(values, dict) or "wrong" in values:
        return values
    named = [values.get(name) for name in ("n", "correct", "refused", "unreadable", "garbage")]
    counts = [count for count in named if isinstance(count, int)]
    if len(counts) < len(named):
        return values
    sent, *others = counts
    return values | {"wrong": sent - sum(others)}


def with_claim_facts(values: Any) -> Any:
    """Return the values of stored claims with the fields that they lack."""
    if not isinstance(values, dict):
        return values
    found = dict(values)
    if isinstance(lattice := values.get("lattice"), list):
        found["lattice"] = [_with_task(facts) for facts in lattice]
    if _bootstraps_nothing(values.get("parameters")):
        _call_lwe(found)
    space = values.get("key_space")
    if isinstance(space, dict) and "searched" not in space:
        on_lattice = "LWE" in str(values.get("assumption", ""))
        found["key_space"] = space | {"searched": not on_lattice}
    return found


def with_manifest_facts(values: Any) -> Any:
    """Return the values of a stored manifest with the fields that its dataset lacks."""
    dataset = values.get("dataset") if isinstance(values, dict) else None
    if not isinstance(dataset, dict):
        return values
    settings = values.get("settings")
    given = settings if isinstance(settings, dict) else {}
    limits = {split: given.get(f"{split}_limit") for split in Split}
    facts = {
        "subset_is_default": dataset.get("subset") in DEFAULT_SUBSETS,
        "limits": {split: most for split, most in limits.items() if most is not None},
    }
    return values | {"dataset": facts | dataset}


def _bootstraps_nothing(parameters: Any) -> bool:
    """Say whether a circuit is LWE alone: it was called TFHE, as the library is."""
    return isinstance(parameters, dict) and parameters.get("programmable_bootstrap_count") == 0


def _call_lwe(claims: dict[str, Any]) -> None:
    """Name what bootstraps nothing, for inference: a training has a circuit of its own."""
    if claims.get("scheme") == "TFHE (LWE), Concrete ML":
        claims["scheme"] = "LWE without bootstrapping, Concrete ML"
    lattice = claims.get("lattice")
    claims["lattice"] = [
        one | {"scheme": "LWE"} if _is_tfhe_inference(one) else one
        for one in (lattice if isinstance(lattice, list) else [])
    ]


def _is_tfhe_inference(facts: Any) -> bool:
    known = isinstance(facts, dict)
    return known and (facts.get("scheme"), facts.get("task")) == ("TFHE", "inference")


def _with_task(facts: Any) -> Any:
    """Split ``use``, which named the task and, after a colon, what else there was to say.

    Estimates were made by this package alone before a record said by whom.
    """
    if not isinstance(facts, dict):
        return facts
    if facts.get("attack") == "primal uSVP":
        facts = {"estimated_by": "he-compare"} | facts
    if "task" in facts:
        return facts
    task, _, use = str(facts.get("use", "")).partition(": ")
    return facts | ({"task": task, "use": use} if task in TASKS else {"task": ""})


def _scheme_of(outcome: dict[str, Any]) -> str:
    """Return what a cipher or a control was called: its target up to the parameters."""
    if outcome.get("target_kind", "cipher") == "pipeline":
        return ""
    return str(outcome.get("target", "")).partition("[")[0]


def with_reference_rank(values: Any) -> Any:
    """Return the values of a stored plan's pipeline with its rank as a reference.

    Where the rank was not stored, the plain pipeline alone was ever a reference.
    """
    if not isinstance(values, dict) or "reference_rank" in values:
        return values
    if values.get("name") != PLAIN:
        return values
    return values | {"reference_rank": 0 if values["resolved"].get("model") == FINETUNE else 1}


def with_twins(values: Any) -> Any:
    """Return the values of a stored manifest whose pipelines name their twins.

    Where none was stored, the twin is the plain pipeline of the model that is protected.
    """
    planned = values.get("pipelines") if isinstance(values, dict) else None
    if not isinstance(planned, list) or not all(isinstance(one, dict) for one in planned):
        return values
    return values | {"pipelines": [_with_twin(one, planned) for one in planned]}


def _with_twin(one: dict[str, Any], planned: list[dict[str, Any]]) -> dict[str, Any]:
    known = OLD_TWINS.get(str(one.get("name")))
    if "twin_wanted" in one or known is None:
        return one
    name, parameters = known
    shown = ",".join(f"{key}={value}" for key, value in parameters.items() if value != FINETUNE)
    labels = [
        other.get("label", "")
        for other in planned
        if other.get("name") == name
        and isinstance(other.get("resolved"), dict)
        and parameters.items() <= other["resolved"].items()
    ]
    wanted = f"{name}[{shown}]" if shown else name
    return one | {"twin": labels[0] if labels else "", "twin_wanted": wanted}


def _what_it_counts_as(outcome: dict[str, Any]) -> str:
    """Return what an outcome counts as that was stored before that was: evidence, but for two.

    An attack with a scale that found nothing in ciphertexts which rest on a hardness assumption is
    a control; a large key space is no resistance.
    """
    if outcome.get("target_kind") == "control" or outcome.get("verdict") != RESISTS:
        return "evidence"
    if outcome.get("attack") == "key_space":
        return "necessary"
    scaled = outcome.get("advantage") is not None
    return "control" if scaled and ON_HARDNESS in str(outcome.get("claim", "")) else "evidence"


def _controls_failed(unreliable: Any) -> list[str]:
    """Name the controls in sentences of the form ``control NAME: what it did``."""
    failed = [str(reason) for reason in unreliable if str(reason).startswith(CONTROL)]
    return [sentence.removeprefix(CONTROL).partition(":")[0] for sentence in failed]


def _why_not_run(reason: str) -> NotRun:
    return next((kind for kind, words in NOT_RUN if words in reason), NotRun.REFUSED)
