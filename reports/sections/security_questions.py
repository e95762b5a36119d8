"""The questions an auditor asks, answered from the records; where they are silent, it says so."""

from __future__ import annotations

from collections.abc import Iterable

from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.server_places import remote_records, served_records
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Block, Column, Inline, Row, Table, inline
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection

SILENT = "the records do not say"
LAW = (
    "Whether any of this satisfies HIPAA, the GDPR or another law is a question for the reader's "
    "counsel; an algorithm is not compliant with a law."
)


class AuditorsQuestions(ReportSection):
    """Questions an auditor asks, with the answers of this run's records."""

    order = 1320
    level = 2
    title = "Questions an auditor asks"
    anchor = "security-questions"

    def blocks(self, view: RunView) -> list[Block]:
        """Return one table of questions and answers; nothing where no attack ran."""
        return [_questions(view)] if view.outcomes else []


def _questions(view: RunView) -> Table:
    head = (Column("Question", weight=1.3), Column("What the records say", weight=3.6))
    answers = (
        ("Which versions and commits?", _versions(view)),
        ("Where does key material come from?", _per_pipeline(view, _keys)),
        ("How long does a key live?", _per_pipeline(view, _life)),
        ("What does the server learn?", _per_pipeline(view, _learned)),
        ("Does the server run separately from the keys?", _apart(view)),
        ("Is the transport authenticated?", _transport(view)),
        ("Were there controls, and did they hold?", _controls(view)),
        ("Where do intervals come from?", _intervals(view.outcomes)),
        ("What was not tried?", _untried(view)),
    )
    rows = tuple(Row((inline(question), _inline(answer))) for question, answer in answers)
    return Table("Questions and answers", head, rows, inline(LAW))


def _inline(answer: str) -> Inline:
    return inline(answer or SILENT)


def _versions(view: RunView) -> str:
    told = []
    for machine in view.environments:
        commit = machine.source_commit[:12] or "unknown"
        dirty = ", with uncommitted changes" if machine.source_dirty else ""
        told.append(
            f"he-compare {view.manifest.tool_version}, commit {commit}{dirty}; {machine.python}; "
            f"{machine.platform}"
        )
    return "; ".join(told)


def _per_pipeline(view: RunView, tell: object) -> str:
    assert callable(tell)
    told = ((short_title(view, pipeline), tell(pipeline)) for pipeline in view.pipelines)
    return _joined((f"{name}: {words}" for name, words in told if words))


def _joined(parts: Iterable[str]) -> str:
    return "; ".join(parts)


def _keys(pipeline: PipelineView) -> str:
    space = pipeline.claims.key_space if pipeline.claims else None
    if space is None:
        return ""
    return f"a source of {space.seed_entropy_bits:.0f} bits"


def _life(pipeline: PipelineView) -> str:
    return pipeline.claims.key_policy.replace("_", " ") if pipeline.claims else ""


def _learned(pipeline: PipelineView) -> str:
    if pipeline.no_server:
        return "there is no server"
    return ", ".join(pipeline.claims.server_learns) if pipeline.claims else ""


def _apart(view: RunView) -> str:
    separate = [r.server_pid_separate for r in view.records if r.server_pid_separate is not None]
    if not separate:
        return ""
    return (
        f"a separate process in {sum(separate)} of {len(separate)} measured cells, started with "
        "the public material only"
    ) + _without(view)


def _transport(view: RunView) -> str:
    remote = remote_records(view)
    secure = [one for one in remote if one.server_host and one.server_host.certificate]
    if not remote:
        way = "HTTP on the loopback has no TLS"
    elif len(secure) == len(served_records(view)):
        way = "HTTP runs over TLS, and the host shows a certificate"
    else:
        way = (
            f"HTTP runs over TLS in {len(secure)} of {len(served_records(view))} measured cells, "
            "on the loopback without"
        )
    return (
        f"requests carry a bearer token; {way}, and messages carry no authentication tag: for "
        "changed or replayed messages see the attacks on integrity"
    )


def _without(view: RunView) -> str:
    names = [short_title(view, pipeline) for pipeline in view.pipelines if pipeline.no_server]
    return f"; no server at all: {', '.join(names)}" if names else ""


def _controls(view: RunView) -> str:
    ran = [one for one in view.outcomes if one.controls]
    failed = [one for one in ran if one.controls_failed]
    words = (
        f"{len(ran)} outcomes with controls, {len(failed)} of them unreliable because of a control"
    )
    as_noise = [one for one in view.outcomes if one.counts_as == "control"]
    if as_noise:
        words += (
            f"; {len(as_noise)} attacks on pictures found in encrypted messages what they find in "
            "noise: they are controls, too, and no attacks resisted"
        )
    return words + "".join(f"; {one.title} on {one.target}: {one.unreliable[0]}" for one in failed)


def _intervals(outcomes: Iterable[AttackOutcome]) -> str:
    methods = {
        one.advantage_interval.method for one in outcomes if one.advantage_interval is not None
    }
    words = "attacks: " + ", ".join(sorted(methods)) if methods else ""
    if any(one.keys == "operating system" for one in outcomes):
        words += (
            "; attacked keys come from the operating system, so that scores differ within the "
            "interval when the audit is repeated"
        )
    if any(one.keys == "seeded" for one in outcomes):
        words += "; some attacked keys are derived from a seed, which is for debugging only"
    return words.removeprefix("; ")


def _untried(view: RunView) -> str:
    """Count what was not run: the list, by reason, is in the deviations."""
    count = sum(one.verdict == "not run" for one in view.outcomes)
    listed = (
        f"{count} outcomes of this suite, listed by reason under “Deviations”; " if count else ""
    )
    return (
        f"{listed}attacks that are not published or not implemented here, side channels, and the "
        "people and machines around the keys"
    )


SECTION = AuditorsQuestions()
