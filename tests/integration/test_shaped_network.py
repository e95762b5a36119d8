"""Two network namespaces with a link between them: the model of the network against measurements.

The link is made in user space (tests/support/shaper.py), for the kernels without netem as well.
Skipped, with the reason, where there is no root or no TUN device.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from he_compare.common.run.network_model import (
    LINKS,
    MODEL_TOLERANCE,
    NetworkLink,
    checked_model,
    measured_link,
)
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import read_run
from he_compare.comparisons.judging.verify import verify_run
from tests.support.imagefolders import write_chestxray_like
from tests.support.repository import ROOT
from tests.support.running_host import RunningHost
from tests.support.shaped_link import ShapedLink, shaped_link, why_no_link

pytestmark = pytest.mark.slow
LOCAL, HOSPITAL, FAR = LINKS
# The side of an image whose bytes take long enough to be timed on that link, and how many.
SIDES = {LOCAL: (1200, 30), HOSPITAL: (400, 25), FAR: (400, 8)}


@pytest.fixture(scope="module", autouse=True)
def link_is_possible() -> None:
    if reason := why_no_link():
        pytest.skip(reason)


@pytest.fixture(params=LINKS, ids=lambda link: link.name)
def link(request: pytest.FixtureRequest) -> NetworkLink:
    chosen: NetworkLink = request.param
    return chosen


@pytest.fixture
def joined(link: NetworkLink) -> Iterator[ShapedLink]:
    with shaped_link(link.bits_per_second, link.round_trip) as made:
        yield made


@pytest.fixture
def host(echo: str, joined: ShapedLink, tmp_path: Path) -> Iterator[RunningHost]:
    running = RunningHost(
        tmp_path / "host",
        listen=joined.host_address,
        names=(joined.host_address,),
        before=joined.inside(joined.host),
    )
    yield running
    running.kill()


def python(before: Sequence[str], *words: str, seconds: float = 240) -> str:
    """Run Python behind the words ``before``, and return what it printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [*before, sys.executable, *words],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def timed(words: Sequence[str], host: RunningHost, side: int, count: int) -> Timed:
    """Send single images from where ``words`` run a program, and return what the fastest took.

    The fastest: other work of the machine makes messages later, and never earlier.
    """
    module = ("-m", "tests.support.timed_driver", host.address, str(host.folder))
    told = json.loads(python(words, *module, str(side), str(count)))
    return Timed(min(told["round_trips"]), min(told["network"]), told["bytes"])


@dataclass(frozen=True)
class Timed:
    """Seconds of a round trip and of an image's message and reply, and their bytes."""

    round_trip: float
    network: float
    sent: float

    @property
    def software(self) -> float:
        """What both processes take for the bytes, where there is no link between them."""
        return self.network - self.round_trip


def test_the_model_of_a_link_is_what_single_images_take_on_it(
    link: NetworkLink, joined: ShapedLink, host: RunningHost, tmp_path: Path
) -> None:
    beside = RunningHost(tmp_path / "beside")
    if link is LOCAL and os.getloadavg()[0] > 1:
        # Software takes most of the time there, and as much again where others compute.
        beside.kill()
        pytest.skip("other programs compute on this machine, which hides a link of 0.2 ms")
    try:
        without = timed((), beside, *SIDES[link])
    finally:
        beside.kill()
    found = timed(joined.inside(joined.driver), host, *SIDES[link])
    assert found.round_trip >= link.round_trip
    own = found.round_trip - without.round_trip
    assert own == pytest.approx(link.round_trip, rel=MODEL_TOLERANCE, abs=4e-3)
    of_trip = NetworkLink(link.bits_per_second, found.round_trip)
    modelled = of_trip.seconds(found.sent) + without.software
    print(
        f"{link.name}: round trip {1e3 * found.round_trip:.2f} ms; {found.sent:,.0f} bytes: "
        f"measured {1e3 * found.network:.2f} ms, modelled {1e3 * modelled:.2f} ms (of that "
        f"{1e3 * without.software:.2f} ms without a link), {found.network / modelled:.3f}"
    )
    assert found.network == pytest.approx(modelled, rel=MODEL_TOLERANCE)
    if link is not LOCAL:  # there the link is most of it
        assert found.network == pytest.approx(link.seconds(found.sent), rel=2 * MODEL_TOLERANCE)


@pytest.mark.parametrize("link", [HOSPITAL], indirect=True, ids=lambda link: link.name)
def test_a_run_over_a_link_checks_its_model_in_the_report(
    link: NetworkLink, joined: ShapedLink, host: RunningHost, tmp_path: Path
) -> None:
    data = tmp_path / "data" / "chestxray"
    write_chestxray_like(data, per_class_train=12, per_class_test=8, size=128)
    words = f"--dataset chestxray --data-dir {data} --profile smoke --subset published --format md"
    words += f" --out {tmp_path / 'run'} --image-size 128 --train-limit 8 --val-limit 4 --no-audit"
    words += " --test-limit 16 --infer-batch 4 --latency-images 8 --latency-rounds 2 --quiet"
    words += f" --host {host.address} --token-file {host.token_file} --tls-ca {host.authority}"
    words += " --pipeline echo --pipeline echo[behaviour=claim]"
    python(joined.inside(joined.driver), "-m", "he_compare.comparisons", "run", *words.split())
    view = read_run(RunFolder(tmp_path / "run"))
    found = measured_link(view)
    assert found is not None
    # Medians, as the report has them: a machine that does other work adds to both.
    assert link.round_trip <= found.round_trip <= link.round_trip + 0.1
    assert found.bits_per_second <= 1.05 * link.bits_per_second
    told = [checked_model(one, found) for one in view.pipelines]
    assert all(one is not None and one.measured.p50 >= link.round_trip for one in told)
    assert verify_run(RunFolder(tmp_path / "run")) == []
    report = next((tmp_path / "run").rglob("report.md")).read_text()
    assert "Network time of one image, measured and modelled" in report
    off = [one for one in told if one is not None and not one.holds]
    assert ("The model is within 15% for all." in report) is (not off)
