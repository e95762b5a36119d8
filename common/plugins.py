"""Plug-ins: found by file name or entry point without being imported, and loaded by name.

One file is one plug-in. Its name is the file's stem (``-`` and ``_`` are the same letter), its
summary the first line of its docstring, and it assigns its object to the attribute of its kind. A
module that serves several names lists them in a literal ``NAMES = {name: summary}``; its attribute
then maps each name to an object. A plug-in folder holds plug-ins only.

Third parties register a module (``name = "module"`` or ``"module:ATTRIBUTE"``) under the
entry-point group ``he_compare.<kind>``. They cannot replace a built-in plug-in. A plug-in that
cannot be used is kept aside with the reason: it is an error only for those who ask for it by name.
"""

from __future__ import annotations

import difflib
import importlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, reduce
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.module_outline import ModuleOutline, files_of, read_outline, spec_of
from he_compare.common.plugin_kinds import KINDS
from he_compare.common.plugin_names import canonical_name
from he_compare.common.plugin_object import flaw_of

LOGGER = logging.getLogger("he_compare.plugins")
BUILT_IN = "built in"
# More names than this are no help in an error message.
MOST_LISTED = 20


@dataclass(frozen=True)
class Plugin:
    """A plug-in that was found but not yet imported.

    ``attribute``: where its object is in the module; '' stands for the attribute of its kind.
    ``in_family``: the attribute maps names to objects.
    """

    kind: str
    name: str
    module: str
    summary: str
    origin: str
    attribute: str = ""
    in_family: bool = False

    def load(self) -> Any:
        """Import the module and return its object. Raises BrokenPluginError with the reason.

        A module may raise anything, or end the process, while it is imported.
        """
        path = self.attribute or KINDS[self.kind].attribute
        try:
            module = importlib.import_module(self.module)
        except (Exception, SystemExit) as error:
            reason = f"importing {self.module} raised {type(error).__name__}: {error}"
            raise self.broken(reason, "repair it or uninstall it").error() from error
        try:
            value: Any = reduce(getattr, path.split("."), module)
        except AttributeError:
            raise self.broken(*_lacking(self.module, path, vars(module))).error() from None
        if self.in_family:
            try:
                value = value[self.name]
            except (KeyError, TypeError):
                what = f"{path} of {self.module} has no entry {self.name!r}, which its NAMES lists"
                raise self.broken(what, "list the same names in both").error() from None
            path = f"{path}[{self.name!r}]"
        flaw = flaw_of(value, KINDS[self.kind], path, self.name)
        if flaw is not None:
            raise self.broken(f"{flaw.what} (in {self.module})", flaw.fix).error()
        return value

    def broken(self, reason: str, fix: str) -> BrokenPlugin:
        """Return this plug-in as one that cannot be used."""
        return BrokenPlugin(self.kind, self.name, self.module, self.origin, reason, fix)


@dataclass(frozen=True)
class BrokenPlugin:
    """A plug-in that cannot be used, with the reason and what to do about it."""

    kind: str
    name: str
    module: str
    origin: str
    reason: str
    fix: str

    def error(self) -> BrokenPluginError:
        """Return the error for those who ask for it."""
        return BrokenPluginError(self)


class BrokenPluginError(UsageError):
    """A plug-in was asked for that cannot be used; ``plugin`` says which and why."""

    def __init__(self, plugin: BrokenPlugin) -> None:
        owner = "" if plugin.origin == BUILT_IN else f" of {plugin.origin}"
        what = f"{KINDS[plugin.kind].singular} {plugin.name!r}{owner}"
        super().__init__(f"{what} cannot be used: {plugin.reason}", fix=plugin.fix)
        self.plugin = plugin


@dataclass(frozen=True)
class Survey:
    """All plug-ins of a kind: those that can be used by name, and those that cannot."""

    usable: dict[str, Plugin]
    broken: tuple[BrokenPlugin, ...]


@cache
def survey(kind: str) -> Survey:
    """Find all plug-ins of a kind, in order of name, without importing them.

    A built-in plug-in keeps its name whatever is installed; of other plug-ins of one name none can
    be used.
    """
    if kind not in KINDS:
        raise UnknownNameError(f"unknown kind of plug-in {kind!r}", fix=nearest(kind, list(KINDS)))
    by_name: dict[str, list[Plugin]] = defaultdict(list)
    broken: list[BrokenPlugin] = []
    for found in _found(kind):
        if isinstance(found, BrokenPlugin):
            broken.append(found)
        else:
            by_name[canonical_name(found.name)].append(found)
    for rival in (one for other in KINDS[kind].rivals for one in _found(other)):
        if isinstance(rival, Plugin) and canonical_name(rival.name) in by_name:
            by_name[canonical_name(rival.name)].append(rival)
    usable: dict[str, Plugin] = {}
    for name in sorted(by_name):
        kept, refused = _settle(by_name[name])
        broken += [one for one in refused if one.kind == kind]
        usable |= {plugin.name: plugin for plugin in kept if plugin.kind == kind}
    return Survey(usable, tuple(sorted(broken, key=lambda one: (one.name, one.module))))


def discover(kind: str) -> dict[str, Plugin]:
    """Return the plug-ins of a kind that can be used, by name, in order of name."""
    return survey(kind).usable


def _found(kind: str) -> Iterator[Plugin | BrokenPlugin]:
    yield from _built_in(kind)
    yield from _registered(kind)


def _built_in(kind: str) -> Iterator[Plugin | BrokenPlugin]:
    for package in KINDS[kind].packages:
        for file in files_of(package):
            name = file.stem.replace("_", "-") if KINDS[kind].dashed else file.stem
            plugin = Plugin(kind, name, f"{package}.{file.stem}", "", BUILT_IN)
            yield from _outlined(plugin, file)


def _registered(kind: str) -> Iterator[Plugin | BrokenPlugin]:
    for entry in entry_points(group=f"he_compare.{kind}"):
        origin = entry.dist.name if entry.dist else "an entry point"
        try:
            module, attribute = entry.module, entry.attr or ""
        except (AttributeError, ValueError):
            # What the standard library and importlib_metadata, which may stand in its place, raise
            # on a value that does not parse.
            plugin = Plugin(kind, entry.name, entry.value, "", origin)
            yield plugin.broken(*_unresolved(entry, "does not parse"))
            continue
        plugin = Plugin(kind, entry.name, module, f"from {origin}", origin, attribute)
        spec = spec_of(module)
        if spec is None:
            yield plugin.broken(*_unresolved(entry, f"names module {module}, which does not exist"))
        elif spec.has_location and (spec.origin or "").endswith(".py"):
            yield from _outlined(plugin, Path(spec.origin or ""))
        else:
            yield plugin


def _unresolved(entry: EntryPoint, what: str) -> tuple[str, str]:
    reason = f"its entry point {entry.name} = {entry.value!r} {what}"
    return reason, 'write "module" or "module:ATTRIBUTE", or install what is missing'


def _outlined(plugin: Plugin, file: Path) -> Iterator[Plugin | BrokenPlugin]:
    """Yield the plug-ins of one source file, or why it holds none."""
    path = plugin.attribute or KINDS[plugin.kind].attribute
    try:
        outline = read_outline(file)
    except (OSError, ValueError) as error:
        yield plugin.broken(f"{file.name} cannot be read: {error}", "repair the file")
        return
    if outline.surely_lacks(path.partition(".")[0]):
        yield plugin.broken(*_lacking(file.name, path, outline.bound))
        return
    yield from _members(plugin, outline)


def _members(plugin: Plugin, outline: ModuleOutline) -> Iterator[Plugin]:
    kind, module, origin, attribute = plugin.kind, plugin.module, plugin.origin, plugin.attribute
    for name, summary in (outline.family or {}).items():
        yield Plugin(kind, name, module, summary, origin, attribute, in_family=True)
    if outline.family is None:
        summary = outline.summary or plugin.summary
        yield Plugin(kind, plugin.name, module, summary, origin, attribute)


def _lacking(where: str, attribute: str, assigned: Iterable[str]) -> tuple[str, str]:
    """Say that a module assigns no such attribute, and which name may be a misspelling of it."""
    near = difflib.get_close_matches(attribute, assigned, n=1, cutoff=0.6)
    hint = f"; it has {near[0]}, which may be misspelt" if near else ""
    return (
        f"{where} has no attribute {attribute}{hint}",
        f"assign the plug-in to {attribute} at module level, or move the file out of the folder of "
        "plug-ins",
    )


def _settle(claimants: list[Plugin]) -> tuple[list[Plugin], list[BrokenPlugin]]:
    """Decide which plug-in gets a name: the only one of it, the only built-in one, or none."""
    built_in = [plugin for plugin in claimants if plugin.origin == BUILT_IN]
    kept = claimants if len(claimants) == 1 else built_in if len(built_in) == 1 else []
    who = " and ".join(sorted(f"{plugin.module} ({plugin.origin})" for plugin in claimants))
    reason, fix = f"{who} have the same name", "rename or uninstall one of them"
    return kept, [plugin.broken(reason, fix) for plugin in claimants if plugin not in kept]


def find(kind: str, name: str) -> Plugin:
    """Return the plug-in of that name.

    Raises UnknownNameError with the nearest names, or BrokenPluginError with the reason where the
    plug-in cannot be used. A warning names a third party's plug-in of that name that is ignored.
    """
    found = survey(kind)
    asked = canonical_name(name)
    broken = [one for one in found.broken if canonical_name(one.name) == asked]
    for plugin in found.usable.values():
        if canonical_name(plugin.name) == asked:
            for one in broken:
                _warn_once(f"{one.error()}; the built-in one is used")
            return plugin
    if broken:
        raise broken[0].error()
    raise UnknownNameError(
        f"unknown {KINDS[kind].singular} {name!r}", fix=nearest(name, list(found.usable))
    )


def load(kind: str, name: str) -> Any:
    """Find a plug-in by name, import it and return its object. Raises as ``find`` does."""
    return find(kind, name).load()


def load_all(kind: str) -> dict[str, Any]:
    """Import every plug-in of a kind; return the objects by name.

    Plug-ins that cannot be used are left out, with a warning for each.
    """
    loaded: dict[str, Any] = {}
    for one in survey(kind).broken:
        _warn_once(f"{one.error()}; it is left out")
    for name, plugin in discover(kind).items():
        try:
            loaded[name] = plugin.load()
        except BrokenPluginError as error:
            _warn_once(f"{error}; it is left out")
    return loaded


def import_third_parties(kind: str) -> Survey:
    """Return the survey of a kind after importing the plug-ins of third parties.

    Those that fail are listed as broken. Built-in plug-ins are not imported.
    """
    found = survey(kind)
    usable, broken = dict(found.usable), list(found.broken)
    for name, plugin in found.usable.items():
        if plugin.origin == BUILT_IN:
            continue
        try:
            plugin.load()
        except BrokenPluginError as error:
            del usable[name]
            broken.append(error.plugin)
    return Survey(usable, tuple(broken))


@cache
def _warn_once(line: str) -> None:
    LOGGER.warning("warning: %s", line)


def nearest(name: str, known: list[str]) -> str:
    """Return "did you mean ..." where a known name is near, else the known names, or how many."""
    spelled = {canonical_name(item): item for item in known}
    few = len(known) <= MOST_LISTED
    cutoff = 0.5 if few else 0.3
    close = difflib.get_close_matches(canonical_name(name), spelled, n=3, cutoff=cutoff)
    if close:
        return "did you mean " + " or ".join(repr(spelled[item]) for item in close) + "?"
    listed = ", ".join(sorted(known)[:MOST_LISTED]) or "none"
    return f"known: {listed}" if few else f"{len(known)} are known, among them {listed}"
