"""A study file: which data sets, pipelines and seeds, parsed as hostile and refused by the line.

::

    title = "What carries over"
    profile = "quick"                 # gives what the file leaves open, as in `compare run`
    seeds = [0, 1, 2]
    pipelines = ["plaintext", "block-scramble[cipher=vit_block]"]

    [margins]                         # losses that are of no weight, named before any result
    accuracy = 0.03
    auc = 0.02

    [settings]                        # options of `compare run`, for every data set
    image_size = 112

    [data.chest]                      # a row: one run, in runs/chest
    dataset = "chestxray"
    title = "Chest X-rays"
    train_limit = 1200                # settings of this data set alone
    more = ["local"]                  # pipelines beside those of the study
    without = ["plaintext"]           # pipelines of the study that it leaves out
    # or only = ["convnet"]           # pipelines in place of those of the study

    [published.somebody-2024]         # a published figure, for the report to set ours beside
    work = "Somebody et al., 2024, doi 10.1000/1"
    says = "0.94"
    data = "chest"
    pipeline = "block-scramble[cipher=vit_block]"
    metric = "accuracy"               # its name in scores.json, or one of NO_METRICS
    minus_twin = false                # true: ours is the difference to the twin
    checked = "abstract"              # where it was read; left out: "not verified"
    differs = "other images"
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from he_compare.common import plugins
from he_compare.common.dataset import choose_subset
from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.identity import digest_of
from he_compare.common.plugins import nearest
from he_compare.common.study.study_records import NO_METRICS, PublishedFigure
from he_compare.common.study.study_rules import DIFFERENCE_KINDS
from he_compare.comparisons.measuring.config import RunConfig, load_config
from he_compare.comparisons.measuring.dataset_opening import find_family
from he_compare.comparisons.measuring.pipeline_spec import (
    PipelineSpec,
    parse_spec,
    resolve_parameters,
)
from he_compare.comparisons.studying.toml_lines import line_of_key

SHIPPED = Path(__file__).parent / "shipped"
MOST_FILE_BYTES = 1 << 20
MOST_SETS, MOST_PIPELINES, MOST_PUBLISHED = 64, 200, 200
LONGEST_TITLE, LONGEST_DATASET, LONGEST_REMARK = 120, 1000, 400
DEFAULT_MARGIN = 0.03
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
TOP = ("title", "profile", "seeds", "pipelines", "margins", "settings", "data", "published")
OF_A_SET = ("dataset", "title", "more", "without", "only")
OF_PUBLISHED = (
    *("work", "says", "data", "pipeline", "metric"),
    *("minus_twin", "checked", "differs"),
)
# What is said once for the whole study.
OF_THE_STUDY = ("profile", "pipelines", "seed", "seeds", "repeats")
SETTINGS = tuple(name for name in RunConfig.model_fields if name not in OF_THE_STUDY)


@dataclass(frozen=True)
class AskedSet:
    """One row as it is asked for. ``dataset``: as on the command line of `compare run`."""

    name: str
    title: str
    dataset: str
    config: RunConfig


@dataclass(frozen=True)
class AskedStudy:
    """A study file that holds. ``file``: its name; ``folder``: where it lies, None if it ships.

    ``text``: of the file, with its title, so that it asks for the same under any name.
    """

    file: str
    folder: Path | None
    title: str
    seeds: tuple[int, ...]
    margins: Mapping[str, float]
    sets: tuple[AskedSet, ...]
    published: tuple[PublishedFigure, ...] = ()
    text: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of all that is asked for.

        Comments, the order of keys and published figures, which ask for nothing, do not count.
        """
        return digest_of(
            {
                "title": self.title,
                "seeds": list(self.seeds),
                "margins": dict(self.margins),
                "sets": [
                    [one.name, one.title, one.dataset, one.config.model_dump(mode="json")]
                    for one in self.sets
                ],
            }
        )


def shipped_studies() -> list[str]:
    """Return the names of the studies that come with the package."""
    return sorted(file.stem for file in SHIPPED.glob("*.toml"))


def find_study(named: str) -> Path:
    """Return the file of a study: a path, or the name of one that ships.

    Raises UnknownNameError on a name that is neither.
    """
    path = Path(named)
    if path.is_file():
        return path
    known = shipped_studies()
    if named in known:
        return SHIPPED / f"{named}.toml"
    if path.suffix == ".toml" or path.exists() or "/" in named:
        raise UsageError(
            f"{named} is no file of a study",
            fix=f"pass a TOML file, or one of those that ship: {', '.join(known)}",
        )
    raise UnknownNameError(f"unknown study {named!r}", fix=nearest(named, known))


def read_study_file(named: str) -> AskedStudy:
    """Read and check a study file. Raises UsageError naming the line and what it may say."""
    path = find_study(named)
    try:
        size, content = path.stat().st_size, b""
        if size <= MOST_FILE_BYTES:
            content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", fix="check the path") from None
    if size > MOST_FILE_BYTES:
        raise UsageError(
            f"{path.name} has {size:,} bytes, more than {MOST_FILE_BYTES:,}", fix="shorten it"
        )
    shipped = path.parent == SHIPPED
    return parse_study(content, path.name, None if shipped else path.absolute().parent)


def parse_study(content: bytes, file: str, folder: Path | None = None) -> AskedStudy:
    """Parse the bytes of a study file. Raises UsageError naming the line."""
    try:
        text = content.decode("utf-8")
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UsageError(f"{file}, line {line}: not UTF-8", fix="store it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        why = "values are nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UsageError(f"{file} is no TOML: {why}", fix="mend the file") from None
    return _Reader(text, file, values).study(folder)


class _Reader:
    """Reads the values of one file; every refusal names the line."""

    def __init__(self, text: str, file: str, values: dict[str, Any]) -> None:
        self._text, self._file, self._values = text, file, values

    def study(self, folder: Path | None) -> AskedStudy:
        values = self._values
        self._known_keys(values, TOP, ())
        title = self._text_of(values, ("title",), default=self._file.removesuffix(".toml"))
        sets = self._table(values, ("data",))
        if not 1 <= len(sets) <= MOST_SETS:
            self._refuse(
                ("data",),
                f"{len(sets)} data sets, expected 1 to {MOST_SETS}",
                "write a table [data.NAME] with a dataset for each",
            )
        asked = tuple(self._set(name, sets[name]) for name in sets)
        return AskedStudy(
            file=self._file,
            folder=folder,
            title=title,
            seeds=asked[0].config.all_seeds,
            margins=self._margins(self._table(values, ("margins",))),
            sets=asked,
            published=self._published(self._table(values, ("published",)), asked),
            text=self._text if "title" in values else f"title = {json.dumps(title)}\n{self._text}",
        )

    def _set(self, name: str, own: Any) -> AskedSet:
        place = ("data", name)
        if not NAME.fullmatch(name):
            self._refuse(
                place,
                f"{name[:60]!r} cannot name a data set of a study: its run's folder has that name",
                "use lower-case letters, digits and hyphens, 40 at most",
            )
        if not isinstance(own, dict):
            self._refuse(place, f"{name} is no table", f"write [data.{name}]")
        self._known_keys(own, (*OF_A_SET, *SETTINGS), place)
        dataset = self._text_of(own, (*place, "dataset"), most=LONGEST_DATASET)
        try:
            plugins.find("datasets", dataset.partition(":")[0])
        except UsageError as error:
            self._refuse((*place, "dataset"), error.problem, error.fix, unknown=True)
        title = self._text_of(own, (*place, "title"), default=name)
        shared = self._table(self._values, ("settings",))
        self._known_keys(shared, SETTINGS, ("settings",))
        settings = {key: value for key, value in own.items() if key not in OF_A_SET}
        given = shared | settings | {"pipelines": self._pipelines(own, place)}
        if self._values.get("seeds") == []:
            self._refuse(("seeds",), "seeds = [] names no training", "write seeds = [0]")
        if "seeds" in self._values:
            given["seeds"] = self._values["seeds"]
        config = self._config(given, place)
        if "subset" in given:
            self._known_subset(dataset, config.subset, place)
        return AskedSet(name, title, dataset, config)

    def _known_subset(self, dataset: str, subset: str, place: tuple[str, ...]) -> None:
        family, _ = find_family(dataset)
        try:
            choose_subset(family.name, subset, family.subsets)
        except UnknownNameError as error:
            tried = ((*place, "subset"), ("settings", "subset"))
            where = next((one for one in tried if line_of_key(self._text, one)), place)
            self._refuse(where, error.problem, error.fix, unknown=True)

    def _config(self, given: dict[str, Any], place: tuple[str, ...]) -> RunConfig:
        profile = self._text_of(self._values, ("profile",), default="quick")
        try:
            return load_config(profile, given)
        except UsageError as error:
            named = re.match(r"setting (\w+)", error.problem)
            key = named[1] if named else ("profile" if "profile" in error.problem else "seeds")
            tried = [(*place, key), ("settings", key), (key,)]
            where = next((one for one in tried if line_of_key(self._text, one)), place)
            self._refuse(where, error.problem, error.fix, unknown=key == "profile")

    def _pipelines(self, own: dict[str, Any], place: tuple[str, ...]) -> list[str]:
        """Return the pipelines of a data set, each checked by itself."""
        if "only" in own:
            if both := [key for key in ("more", "without") if key in own]:
                self._refuse((*place, "only"), f"only and {both[0]} do not go together", "")
            return self._some(list(self._specs(own, (*place, "only"))), place)
        base = self._specs(self._values, ("pipelines",))
        more = self._specs(own, (*place, "more"))
        left_out = self._specs(own, (*place, "without"))
        for text, label in left_out.items():
            if label not in base.values():
                self._refuse(
                    (*place, "without"),
                    f"without names {label!r}, which is no pipeline of the study",
                    nearest(label, list(base.values())),
                    text,
                    unknown=True,
                )
        for text, label in more.items():
            if label in base.values():
                self._refuse(
                    (*place, "more"), f"{label!r} is a pipeline of the study already", "", text
                )
        gone = set(left_out.values())
        kept = [text for text, label in (base | more).items() if label not in gone]
        return self._some(kept, place)

    def _some(self, found: list[str], place: tuple[str, ...]) -> list[str]:
        if not 1 <= len(found) <= MOST_PIPELINES:
            self._refuse(
                place, f"{len(found)} pipelines, expected 1 to {MOST_PIPELINES}", "name them"
            )
        return found

    def _specs(self, values: dict[str, Any], place: tuple[str, ...]) -> dict[str, str]:
        """Return the label of every pipeline of a list, by its text."""
        given = values.get(place[-1], [])
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            self._refuse(place, f"{place[-1]} is no list of texts", 'write ["NAME", "NAME[a=b]"]')
        found: dict[str, str] = {}
        for text in given:
            try:
                spec = parse_spec(text)
                pipeline = plugins.load("pipelines", spec.name)
                resolve_parameters(pipeline, spec)
            except UsageError as error:
                unknown = isinstance(error, UnknownNameError)
                self._refuse(place, error.problem, error.fix, text, unknown=unknown)
            label = PipelineSpec(pipeline.name, spec.parameters).label
            if label in found.values():
                self._refuse(place, f"pipeline {label!r} is given twice", "remove one", text)
            found[text] = label
        return found

    def _margins(self, given: dict[str, Any]) -> dict[str, float]:
        self._known_keys(given, DIFFERENCE_KINDS, ("margins",))
        found = {}
        for kind in DIFFERENCE_KINDS:
            value = given.get(kind, DEFAULT_MARGIN)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and 0 < value < 1):
                self._refuse(
                    ("margins", kind),
                    f"margin {kind} = {value!r:.40} is not between 0 and 1",
                    "name the loss that is of no weight, for instance 0.03",
                )
            found[kind] = float(value)
        return found

    def _published(
        self, given: dict[str, Any], asked: Sequence[AskedSet]
    ) -> tuple[PublishedFigure, ...]:
        """Return the published figures; each names a row, one of its pipelines and a metric."""
        if len(given) > MOST_PUBLISHED:
            self._refuse(
                ("published",), f"{len(given)} figures, expected {MOST_PUBLISHED} at most", ""
            )
        return tuple(self._figure(name, given[name], asked) for name in given)

    def _figure(self, name: str, own: Any, asked: Sequence[AskedSet]) -> PublishedFigure:
        place = ("published", name)
        if not NAME.fullmatch(name) or not isinstance(own, dict):
            self._refuse(
                place,
                f"{name[:60]!r} is no published figure",
                "write [published.NAME] with lower-case letters, digits and hyphens",
            )
        self._known_keys(own, OF_PUBLISHED, place)
        texts = {
            key: self._text_of(own, (*place, key), most=LONGEST_REMARK)
            for key in ("work", "says", "data", "metric")
        }
        remarks = {
            key: self._text_of(own, (*place, key), default="", most=LONGEST_REMARK)
            for key in ("checked", "differs")
        }
        rows = {one.name: one for one in asked}
        self._one_of(texts["data"], sorted(rows), (*place, "data"))
        metrics = [
            one.name for plugin in plugins.discover("metrics").values() for one in plugin.load()
        ]
        self._one_of(texts["metric"], [*metrics, *NO_METRICS], (*place, "metric"))
        asked_for = self._text_of(own, (*place, "pipeline"), most=LONGEST_REMARK)
        (label,) = self._specs({"pipeline": [asked_for]}, (*place, "pipeline")).values()
        its_own = {"pipelines": list(rows[texts["data"]].config.pipelines)}
        labels = list(self._specs(its_own, ("data", texts["data"], "pipelines")).values())
        self._one_of(label, labels, (*place, "pipeline"))
        minus = own.get("minus_twin", False)
        if not isinstance(minus, bool):
            self._refuse((*place, "minus_twin"), "minus_twin is neither true nor false", "")
        if minus and texts["metric"] in NO_METRICS:
            what = f"{texts['metric']} has no difference to the twin"
            self._refuse((*place, "minus_twin"), what, "leave minus_twin out")
        return PublishedFigure(name=name, pipeline=label, minus_twin=minus, **texts, **remarks)

    def _one_of(self, value: str, known: Sequence[str], place: tuple[str, ...]) -> None:
        if value not in known:
            hint = nearest(value, list(known))
            self._refuse(place, f"unknown {place[-1]} {value[:60]!r}", hint, unknown=True)

    def _table(self, values: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
        found = values.get(place[-1], {})
        if not isinstance(found, dict):
            self._refuse(place, f"{place[-1]} is no table", f"write [{place[-1]}]")
        return found

    def _text_of(
        self,
        values: dict[str, Any],
        place: tuple[str, ...],
        default: str | None = None,
        most: int = LONGEST_TITLE,
    ) -> str:
        key = place[-1]
        if key not in values and default is not None:
            return default
        found = values.get(key)
        if not isinstance(found, str) or not 0 < len(found.strip()) <= most:
            what = "is missing" if found is None else f"= {found!r:.60} is no text"
            fix = f"write {key} as a text of at most {most} letters"
            self._refuse(place if found is not None else place[:-1], f"{key} {what}", fix)
        return found.strip()

    def _known_keys(
        self, values: Mapping[str, Any], known: Sequence[str], place: tuple[str, ...]
    ) -> None:
        for key in values:
            if key not in known:
                inside = f" in [{'.'.join(place)}]" if place else ""
                hint = nearest(key, list(known))
                if key in OF_THE_STUDY and place:
                    hint = "it is said once, at the top of the file"
                self._refuse((*place, key), f"unknown key {key[:60]!r}{inside}", hint, unknown=True)

    def _refuse(
        self,
        place: tuple[str, ...],
        problem: str,
        fix: str,
        value: str = "",
        *,
        unknown: bool = False,
    ) -> NoReturn:
        """Raise the error of a place in the file, with its line where it is found."""
        line = line_of_key(self._text, place, value)
        where = f"{self._file}, line {line}" if line else self._file
        kind = UnknownNameError if unknown else UsageError
        raise kind(f"{where}: {problem}", fix=fix)
