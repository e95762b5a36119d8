"""Two network namespaces with a link between them: the model of the network against measurements.

The link is made in user space (tests/support/shaper.py), for the kernels without netem as well.
Skipped, with the reason, where there is no root or no TUN device.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
SIDES = {LOCAL: (1200, 15), HOSPITAL: (224, 15), FAR: (224, 10)}
# What the processes at both ends take per byte beside the link, of the fastest link.
SOFTWARE = 1e-8


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


def inside(joined: ShapedLink, *words: str, seconds: float = 240) -> str:
    """Run Python in the driver's namespace and return what it printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [*joined.inside(joined.driver), sys.executable, *words],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def timed(joined: ShapedLink, host: RunningHost, side: int, count: int) -> dict[str, Any]:
    words = ("-m", "tests.support.timed_driver", host.address, str(host.folder))
    told: dict[str, Any] = json.loads(inside(joined, *words, str(side), str(count)))
    return told


def test_the_model_of_a_link_is_what_single_images_take_on_it(
    link: NetworkLink, joined: ShapedLink, host: RunningHost
) -> None:
    told = timed(joined, host, *SIDES[link])
    trip, network = statistics.median(told["round_trips"]), statistics.median(told["network"])
    modelled = link.seconds(told["bytes"])
    print(
        f"{link.name}: round trip {1e3 * trip:.2f} ms; {told['bytes']:.0f} bytes measured "
        f"{1e3 * network:.2f} ms, modelled {1e3 * modelled:.2f} ms, {network / modelled:.3f}"
    )
    # A request is more than a packet: both processes have a part in its round trip.
    assert link.round_trip <= trip <= 1.15 * link.round_trip + 0.006
    software = SOFTWARE * told["bytes"] if link is LOCAL else 0.0
    assert network == pytest.approx(modelled + software, rel=MODEL_TOLERANCE)
    assert abs(told["clock_offset"]) < 0.05 + trip / 2


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
    inside(joined, "-m", "he_compare.comparisons", "run", *words.split())
    view = read_run(RunFolder(tmp_path / "run"))
    found = measured_link(view)
    assert found is not None
    assert found.round_trip == pytest.approx(link.round_trip, rel=0.3)
    assert found.bits_per_second == pytest.approx(link.bits_per_second, rel=MODEL_TOLERANCE)
    for pipeline in view.pipelines:
        checked = checked_model(pipeline, found)
        assert checked is not None and checked.holds, (pipeline.label, checked)
    assert verify_run(RunFolder(tmp_path / "run")) == []
    report = next((tmp_path / "run").rglob("report.md")).read_text()
    assert "Network time of one image, measured and modelled" in report
    assert "The model is within 15% for all." in report
