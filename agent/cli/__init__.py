"""``ringwatch``: the composition root, one command a file.

A command is imported when it is used: what one needs (torch, ophyd, Tiled) takes
seconds, which no other command and no ``--help`` should pay.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from types import MappingProxyType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup
from typer.main import get_command

from ringwatch.agent.errors import RingwatchError

__all__ = ["COMMANDS", "app", "main"]

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "demo": "Heat BaTiO3 through its transition while things go wrong, and watch.",
        "serve": "Watch the runs that others publish over 0MQ, and hand verdicts back.",
        "status": (
            "Say how a running agent is: frames, latency by stages, queue, spool."
        ),
        "tail": "Print a line for each verdict, as LiveTable does for points.",
        "explain": (
            "Say in one paragraph what went wrong in a run, why, and what to take "
            "again."
        ),
        "keys": (
            "Make a pair of keys, so that only those you name talk to the agent over "
            "0MQ."
        ),
        "classify": (
            "Say of measured files whether they can be trusted and what symmetry they "
            "show."
        ),
        "replay": ("Analyse stored runs again, with the code that analyses them live."),
        "label": "Say what frames show, or ask what people said and what to look at.",
        "train": "Train a network on random crystals and decorated structure types.",
        "bench": "Measure what each flag sees, and how often it cries for nothing.",
        "evaluate": ("Score a classifier on real structures and on measured patterns."),
    }
)
"""What each command does: the first line of its docstring, known without importing it.

A command ``name`` is the function ``name`` in the module ``ringwatch.agent.cli.name``.
"""


class _LazyGroup(TyperGroup):
    """Lists commands by their placeholders and imports the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, args)
        return name, name and found and _load(name), rest


def _load(name: str) -> Any:
    module = import_module(f"{__name__}.{name}")
    single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    single.command(name)(getattr(module, name))
    return get_command(single)


def _placeholder() -> None:
    """Stands in the list for a command that is not imported yet; never called."""


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Watches the Debye-Scherrer rings of a running experiment.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"ringwatch {version('ringwatch')}\n")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Take what stands before a command."""


for command, summary in COMMANDS.items():
    app.command(command, help=summary)(_placeholder)


def main() -> None:
    """Run a command; what Ringwatch itself reports is one line, not a traceback."""
    try:
        app()
    except RingwatchError as error:
        Console(stderr=True).print(
            f"[bold red]error:[/] {escape(str(error))}", highlight=False
        )
        sys.exit(2)
