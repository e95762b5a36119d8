"""The wheel in a fresh environment, used in a folder that has packages of the house's own names.

Nothing is downloaded: the fresh environment reads the dependencies of this one through a path
file. Path files of a folder that is reached so are not read, so the editable installation of this
environment cannot stand in for the wheel; a test looks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.repository import ROOT
from tools.imports import FLOORS

pytestmark = pytest.mark.slow
CLASHING = ("common", "reports", "tests", "tools", "benchmarks", "block_scramble", "fhe_baseline")
TINY = "--image-size 32 --train-limit 24 --val-limit 4 --test-limit 6 --latency-images 2"
TINY += " --latency-rounds 1 --infer-batch 4 --pictures 0 --offline --quiet"
PIPELINES = ("fhe-head", "echo")


@dataclass(frozen=True)
class Installed:
    """A fresh environment with the wheel in it, and a folder of clashing packages to work in."""

    wheel: Path
    environment: Path
    folder: Path

    def __call__(self, *command: str) -> str:
        """Run a program of the environment in the folder; return what it prints."""
        program = self.environment / "bin" / command[0]
        done = subprocess.run(
            [str(program), *command[1:]],
            cwd=self.folder,
            env=_variables(self.folder),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _variables(home: Path) -> dict[str, str]:
    ours = ("PYTHONPATH", "COMPARE_DATA", "VIRTUAL_ENV", "MYPYPATH")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {
        f"XDG_{name}_HOME": str(home / "home" / name) for name in ("CACHE", "CONFIG", "DATA")
    }


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _build(folder: Path) -> Path:
    """Build a source archive of a copy of the checkout, and a wheel from that archive."""
    source = folder / "source"
    for floor in FLOORS:
        shutil.copytree(ROOT / floor, source / floor, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("tests", "tools", "benchmarks"):
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
    code = "from setuptools import build_meta; build_meta.build_sdist('..')"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder))
    _pip("wheel", *options, str(archive))
    (wheel,) = folder.glob("*.whl")
    return wheel


def _add_plugin(packages: Path) -> None:
    """Install the echo pipeline as another distribution does: a module and an entry point."""
    source = (ROOT / "tests" / "support" / "echo_pipeline.py").read_text(encoding="utf-8")
    module = packages / "somebodys_pipeline.py"
    module.write_text(source.replace("tests.support.echo_pipeline", module.stem), encoding="utf-8")
    info = packages / "somebodys_pipeline-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: somebodys-pipeline\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(f"[he_compare.pipelines]\necho = {module.stem}\n")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    if os.name != "posix":
        pytest.skip("programs of an environment lie elsewhere on this platform")
    base = tmp_path_factory.mktemp("installed")
    wheel = _build(base)
    environment, folder = base / "environment", base / "folder"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    paths = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", "venv", paths))
    ours = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (packages / "dependencies.pth").write_text("".join(f"{one}\n" for one in ours))
    python = str(environment / "bin" / "python")
    _pip(
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--ignore-installed",
        str(wheel),
    )
    _add_plugin(packages)
    for name in CLASHING:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise RuntimeError('{name} of the user')\n")
    yield Installed(wheel, environment, folder)
    shutil.rmtree(base)


def test_the_wheel_holds_one_import_name_and_a_door(installed: Installed) -> None:
    names = zipfile.ZipFile(installed.wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"he_compare", "comparisons"}
    assert {name for name in names if name.startswith("comparisons/")} == {
        "comparisons/__init__.py",
        "comparisons/__main__.py",
    }


def test_the_wheel_holds_every_module_and_every_file_that_modules_read(
    installed: Installed,
) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    expected = {
        f"he_compare/{file.relative_to(ROOT).as_posix()}"
        for floor in FLOORS
        for file in (ROOT / floor).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert expected - names == set()


def test_modules_come_from_the_wheel(installed: Installed) -> None:
    code = (
        "import sys, comparisons, he_compare.comparisons.api, he_compare.common.plugins as p\n"
        "for name in p.KINDS: p.discover(name)\n"
        "ours = [n for n in sys.modules if n.split('.')[0] in ('he_compare', 'comparisons')]\n"
        "print(*(getattr(sys.modules[n], '__file__', None) or '' for n in ours), sep='\\n')\n"
        "assert not {'common', 'reports', 'tests'} & set(sys.modules)\n"
    )
    files = [line for line in installed("python", "-c", code).splitlines() if line]
    assert len(files) > 10
    assert [one for one in files if not Path(one).is_relative_to(installed.environment)] == []


@pytest.mark.parametrize(
    "command",
    [("compare", "--help"), ("python", "-m", "comparisons", "--help")],
    ids=["compare", "python -m"],
)
def test_the_command_helps(installed: Installed, command: tuple[str, ...]) -> None:
    assert "run" in installed(*command) and "audit" in installed(*command)


def test_both_commands_list_the_same_and_a_plugin_of_somebody_else(installed: Installed) -> None:
    told = installed("compare", "list")
    assert told == installed("python", "-m", "comparisons", "list")
    for name in ("block-scramble", "fhe-head", "chestxray", "jigsaw", "echo"):
        assert name in told.replace("_", "-")


def test_a_run_with_server_processes_and_a_plugin_gives_a_report_and_loads(
    installed: Installed,
) -> None:
    chosen = [word for one in PIPELINES for word in ("--pipeline", one)]
    options = ["--dataset", "chestxray", "--profile", "smoke", "--out", "made", *TINY.split()]
    installed("compare", "run", *options, *chosen)
    made = {file.name for file in (installed.folder / "made" / "report").iterdir()}
    assert {"report.md", "report.html", "report.pdf"} <= made
    code = (
        "from comparisons import load_run, run\n"
        "from he_compare.comparisons import load_run as same, run as also\n"
        "assert (load_run, run) == (same, also)\n"
        "print(*(f'{one.label} {one.state}' for one in load_run('made').pipelines), sep='\\n')\n"
    )
    told = installed("python", "-c", code).splitlines()
    assert told == [f"{label} ok" for label in PIPELINES]


def test_a_run_from_python(installed: Installed) -> None:
    code = (
        "from comparisons import run\n"
        "view = run('chestxray', out='other', profile='smoke', pipelines=['echo'], offline=True,\n"
        "           image_size=32, train_limit=8, val_limit=4, test_limit=4, pictures=0,\n"
        "           latency_images=2, latency_rounds=1)\n"
        "print([one.state for one in view.pipelines])\n"
    )
    assert installed("python", "-c", code) == "['ok']\n"
