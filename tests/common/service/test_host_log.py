"""What a host writes: times, and refusals that strangers cannot flood it with."""

from __future__ import annotations

from he_compare.common.service.host_log import MOST_REASONS, OTHERS, QUIET_SECONDS, HostLog
from he_compare.common.service.refusals import RefusedRequest

STRANGER = RefusedRequest(401, "Unauthorized", "missing or wrong bearer token")
BUSY = RefusedRequest(409, "Busy", "another driver is served")


class Log:
    """A log with a clock that is set by hand."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.time = 0.0
        self.log = HostLog(self.lines.append, now=lambda: self.time)


def test_a_line_has_its_time_in_utc() -> None:
    log = Log()
    log.time = 86_400.0 + 61
    log.log.say("a session begins")
    assert log.lines == ["1970-01-02 00:01:01Z a session begins"]


def test_of_many_alike_one_is_told_per_minute_with_the_number_of_the_others() -> None:
    log = Log()
    for _ in range(1000):
        log.log.refused("10.0.0.7", STRANGER)
    log.log.refused("10.0.0.8", BUSY)
    log.time = QUIET_SECONDS + 1
    log.log.refused("10.0.0.9", STRANGER)
    told = [line.partition("Z ")[2] for line in log.lines]
    assert told == [
        "refused, from 10.0.0.7: missing or wrong bearer token",
        "refused, from 10.0.0.8: another driver is served",
        "refused, from 10.0.0.9: missing or wrong bearer token (999 more before)",
    ]


def test_what_was_not_told_is_told_at_the_end_once() -> None:
    log = Log()
    for _ in range(3):
        log.log.refused("", STRANGER)
    log.log.close()
    log.log.close()
    assert [line.partition("Z ")[2] for line in log.lines] == [
        "refused, from unknown: missing or wrong bearer token",
        "refused 2 more: Unauthorized",
    ]


def test_whatever_is_sent_lines_and_reasons_stay_few_and_whole() -> None:
    log = Log()
    for number in range(10_000):
        log.log.refused("a\nb", RefusedRequest(400, f"kind {number}", "words\nof several lines"))
    log.log.close()
    assert len(log.lines) == MOST_REASONS + 2
    assert log.lines[-1].endswith(f"refused {10_000 - MOST_REASONS - 1:,} more: {OTHERS}")
    assert not any("\n" in line for line in log.lines)
