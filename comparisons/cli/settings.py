"""The options of `compare run` that are settings of a run, made from the fields of ``RunConfig``.

A new field there is a new option here: its name, help, bounds, choices and heading come from the
field. Values are checked by ``RunConfig`` alone, so the command and Python refuse the same ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from typer.core import TyperCommand

from he_compare.comparisons.measuring.config import RunConfig, option_group, profile_values
from he_compare.comparisons.measuring.validation import allowed_values

# Fields of RunConfig whose option has another form, or may be repeated: --profile, --pipeline,
# --audit/--no-audit, --public.
OWN_FORM = frozenset({"profile", "pipelines", "audit", "public"})
FROM_PROFILE = "from the profile"


def with_settings(after: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace ``**settings`` of a command by one option per setting, behind the option ``after``.

    The command gets the values by name; None: not given.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                continue
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            if parameter.name == after:
                parameters += _options()
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return command

    return decorate


def _options() -> list[inspect.Parameter]:
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                _value_type(field) | None,
                typer.Option(
                    help=_help(field),
                    show_default=_default(name, field),
                    rich_help_panel=option_group(field),
                ),
            ],
        )
        for name, field in RunConfig.model_fields.items()
        if name not in OWN_FORM
    ]


def _value_type(field: FieldInfo) -> Any:
    """Return the type that the command line converts to; None is what leaves a setting alone.

    A list is text, with commas between its values.
    """
    if get_origin(field.annotation) is list:
        return str
    kinds = [one for one in get_args(field.annotation) or (field.annotation,) if one is not None]
    if get_origin(field.annotation) is Literal:
        return str
    return next(one for one in kinds if one is not type(None))


def _help(field: FieldInfo) -> str:
    allowed = allowed_values(field)
    return f"{field.description} ({allowed})." if allowed else f"{field.description}."


def _default(name: str, field: FieldInfo) -> str | bool:
    """Return the default as it is shown; what no profile sets has the default of its field."""
    if name in _set_by_profiles():
        return FROM_PROFILE
    default = field.get_default(call_default_factory=True)
    return str(default) if default not in (None, "", []) else False


@cache
def _set_by_profiles() -> frozenset[str]:
    return frozenset(name for values in profile_values().values() for name in values)


class GroupedCommand(TyperCommand):
    """A command whose help shows its options under the heading that each of them names."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section per heading, in the order in which the headings first appear."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            heading = getattr(parameter, "rich_help_panel", None) or "Command"
            if record is not None:
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
