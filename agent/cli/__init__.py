"""``ringwatch``: the composition root, one command a file."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from ringwatch.agent.cli.classify import classify
from ringwatch.agent.cli.demo import demo
from ringwatch.agent.cli.evaluate import evaluate
from ringwatch.agent.cli.replay import replay
from ringwatch.agent.cli.train import train
from ringwatch.agent.errors import RingwatchError

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Watches the Debye-Scherrer rings of a running experiment.",
)
for command in (demo, classify, replay, train, evaluate):
    app.command()(command)


def main() -> None:
    """Run a command; what Ringwatch itself reports is one line, not a traceback."""
    try:
        app()
    except RingwatchError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
