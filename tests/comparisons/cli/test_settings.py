"""The options of `compare run` are the fields of RunConfig: names, help, bounds, defaults."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Any

import pytest
import typer.main
from pydantic import Field
from typer.testing import CliRunner

from he_compare.common.contracts import RunSettings
from he_compare.comparisons.cli import settings
from he_compare.comparisons.cli.app import app, main
from he_compare.comparisons.cli.settings import OWN_FORM, GroupedCommand, with_settings
from he_compare.comparisons.measuring.config import (
    MEASUREMENT,
    RunConfig,
    load_config,
    option_group,
    profile_names,
)
from he_compare.comparisons.measuring.validation import allowed_values


def options_of_run() -> dict[str, Any]:
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    return {one.name: one for one in command.params}


@pytest.mark.parametrize("name", sorted(set(RunConfig.model_fields) - OWN_FORM))
def test_every_setting_is_an_option_with_the_help_and_heading_of_its_field(name: str) -> None:
    field, option = RunConfig.model_fields[name], options_of_run()[name]
    assert f"--{name.replace('_', '-')}" in option.opts
    assert option.help.startswith(field.description)
    assert allowed_values(field) in option.help
    assert option.rich_help_panel == option_group(field)
    assert option.default is None


def test_a_new_field_is_a_new_option(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wider(RunConfig):
        rounds_apart: Annotated[int, MEASUREMENT] = Field(
            default=7, ge=1, le=9, description="Seconds between two rounds"
        )

    monkeypatch.setattr(settings, "RunConfig", Wider)
    seen: dict[str, Any] = {}

    @with_settings(after="dataset")
    def run(dataset: str = "chestxray", quiet: bool = False, **values: Any) -> None:
        seen.update(values)

    one = typer.Typer(rich_markup_mode=None)
    one.command(cls=GroupedCommand)(run)
    shown = CliRunner().invoke(one, ["--help"], terminal_width=200).output
    assert "Seconds between two rounds (1 to 9)." in shown
    assert CliRunner().invoke(one, ["--rounds-apart", "3", "--epochs", "2"]).exit_code == 0
    assert seen["rounds_apart"] == 3 and seen["epochs"] == 2 and seen["seed"] is None


def test_the_help_has_the_settings_under_their_headings_in_order() -> None:
    shown = CliRunner().invoke(app, ["run", "--help"], terminal_width=120).output
    headings = [line[:-1] for line in shown.splitlines() if line and line[0] != " " and ":" in line]
    assert headings[1:] == [
        *("Run", "Images", "Models and training", "Measurement"),
        *("Attacks and report", "Workers", "Other machines", "Command"),
    ]
    images = shown[shown.index("\nImages:") : shown.index("\nModels and training:")]
    assert "--test-limit" in images and "--epochs" not in images
    assert "Maximum number of test images (at least 2)." in images


def test_a_default_is_shown_as_the_profiles_where_a_profile_sets_it() -> None:
    options = options_of_run()
    assert options["epochs"].show_default == "from the profile"
    assert options["pictures"].show_default == "4"
    for name in profile_names():
        assert load_config(name, {}).pictures == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epochs", "0"], "epochs=0: Input should be greater than or equal to 1 (allowed: 1 to"),
        (["--learning-rate", "2"], "(allowed: more than 0, at most 1)"),
        (["--epochs", "many"], "'--epochs'"),
        (["--epoch", "3"], "No such option"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["compare", "run", "--format", "", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    error = capsys.readouterr().err
    assert stop.value.code == 2 and said in error and error.count("\n") == 1


def test_what_pipelines_read_is_a_setting_of_the_run() -> None:
    assert set(RunSettings.__dataclass_fields__) <= set(RunConfig.model_fields)


def test_the_command_opens_without_numpy_or_torch() -> None:
    code = "import he_compare.comparisons.cli.app, sys; print({'numpy', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
