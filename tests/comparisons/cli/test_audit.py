"""`compare audit`: bad input in one line, the matrix, and a cell told in full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from he_compare.common.errors import UsageError
from he_compare.common.run.store import RunFolder
from he_compare.comparisons.cli.audit import audit_app
from tests.support.attackpool import pictures


def audit(*arguments: str) -> Any:
    return CliRunner().invoke(audit_app, list(arguments))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A folder of invented pictures in two classes, as options of the command."""
    folder = tmp_path_factory.mktemp("pictures")
    batch = pictures(120, 32, 1)
    for name, image, label in zip(batch.ids, batch.images, batch.labels, strict=True):
        place = folder / ("dark", "bright")[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(place / f"{name}.png")
    return ["--dataset", f"folder:{folder}", "--image-size", "32", "--quiet"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cipher", "vit_blok"], "did you mean 'vit_block'"),
        (["--cipher", "vit_block[patch=two]"], "cannot take patch='two'"),
        (["--cipher", "vit_block[pach=8]"], "has no parameter 'pach'"),
        (["--cipher", "vit_block[patch=8"], "cipher 'vit_block[patch=8' does not parse"),
        (["--cipher", "vit_block[key_policy=daily]"], "unknown key_policy 'daily'"),
        (["--cipher", "np", "--cipher", "np"], "'np' is named twice"),
        (["--attack", "leading_bite"], "did you mean 'leading_bit'"),
        (["--budget", "huge"], "unknown budget 'huge'"),
        (["--pipeline", "block-scrambel"], "did you mean 'block-scramble'"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    tmp_path: Path, images: list[str], arguments: list[str], said: str
) -> None:
    result = audit("run", *images, "--out", str(tmp_path / "audit"), *arguments)
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)
    assert not (tmp_path / "audit").exists()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, images: list[str]) -> tuple[Path, Any]:
    """One audit of two ciphers by two attacks."""
    folder = tmp_path_factory.mktemp("audit") / "one"
    result = audit(
        "run", *images, "--out", str(folder),
        "--cipher", "vit_block[patch=8]", "--cipher", "np",
        "--attack", "leading_bit", "--attack", "chosen-plaintext",
    )  # fmt: skip
    return folder, result


def test_the_matrix_is_printed_and_kept(done: tuple[Path, Any]) -> None:
    folder, result = done
    assert result.exit_code == 0, result.exception
    assert "BROKEN" in result.output and "n/a" in result.output
    assert "not the same as secure" in " ".join(result.output.split())
    again = audit("matrix", str(folder))
    assert again.output.strip() in result.output
    cells = json.loads(audit("matrix", str(folder), "--json").output)
    assert cells["targets"] == ["vit_block[patch=8]", "np", "identity", "noise", "aes_ctr"]
    assert cells["rows"][-1]["cells"]["np"]["verdict"] == "broken"


def test_a_cell_is_told_with_claim_evidence_limits_and_command(done: tuple[Path, Any]) -> None:
    told = audit("explain", str(done[0]), "np/chosen_plaintext").output
    for word in (
        "claim",
        "evidence",
        "limit",
        "control    aes_ctr",
        "reproduce\ncompare audit run",
    ):
        assert word in told
    assert "--cipher 'np'" in told and "--attack chosen_plaintext" in told


def test_an_unknown_cell_names_the_nearest(done: tuple[Path, Any]) -> None:
    result = audit("explain", str(done[0]), "np/chosen_plaintexts")
    assert "did you mean 'np/chosen_plaintext'" in str(result.exception)


def test_a_folder_with_another_audit_or_none_is_refused(
    done: tuple[Path, Any], images: list[str], tmp_path: Path
) -> None:
    other = audit("run", *images, "--seed", "5", "--cipher", "np", "--out", str(done[0]))
    assert "holds another audit" in str(other.exception)
    (tmp_path / "file").write_text("x")
    full = audit("run", *images, "--cipher", "np", "--out", str(tmp_path))
    assert "is not empty and holds no audit" in str(full.exception)
    assert "holds no outcome" in str(audit("matrix", str(tmp_path)).exception)


def test_the_command_opens_without_numpy_or_torch() -> None:
    code = "import he_compare.comparisons.cli.audit, sys; print('numpy' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.slow
def test_a_pipeline_is_deployed_for_an_audit_alone(tmp_path: Path, images: list[str]) -> None:
    out = tmp_path / "alone"
    words = ("--pipeline", "plaintext[model=logistic]", "--attack", "property_inference")
    result = audit("run", *images, *words, "--out", str(out))
    assert result.exit_code in (0, 3), result.output
    (found,) = (one for one in RunFolder(out).outcomes() if one.target_kind == "pipeline")
    assert found.messages == "deployed for the audit"
    # The server of the pipeline computes the class itself.
    assert found.verdict in ("broken", "partial") and found.counts_as == "open by design"
    assert not found.promised
    assert any("fitted for this audit alone" in limit for limit in found.limits)
    assert not list(out.rglob("*.key"))
