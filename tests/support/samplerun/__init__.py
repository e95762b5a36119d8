"""A factory of complete run folders for tests: plausible in shape, invented in every number.

``three_pipelines()`` is a small binary run in which every cell ended ok; ``ten_pipelines()`` is a
multi-class run with long names and failed, unavailable and skipped cells; ``audited()`` has the
size of a real quick run with attacks; ``with_the_hospital_alone()`` has a pipeline without a
server; ``build`` makes others. All are deterministic. ``SampleRun.write(path)`` makes the run
folder.
"""

from tests.support.samplerun.audited import audited
from tests.support.samplerun.kinds import FHE, PLAIN, SCRAMBLE, TRAINED, Kind
from tests.support.samplerun.runs import (
    SampleRun,
    build,
    ten_pipelines,
    three_pipelines,
    with_the_hospital_alone,
)

__all__ = [
    "FHE",
    "PLAIN",
    "SCRAMBLE",
    "TRAINED",
    "Kind",
    "SampleRun",
    "audited",
    "build",
    "ten_pipelines",
    "three_pipelines",
    "with_the_hospital_alone",
]
