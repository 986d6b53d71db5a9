"""The command line as a whole: quick to ask for help, one list of commands."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from ringwatch.agent.cli import COMMANDS, app

ASK_FOR_HELP = """
import json, sys
from typer.testing import CliRunner
from ringwatch.agent.cli import app
result = CliRunner().invoke(app, sys.argv[1:])
modules = [name for name in sys.modules if name.count(".") < 4]
print(json.dumps([result.exit_code, result.output, modules]))
"""


def ask_for_help(*arguments: str) -> tuple[str, set[str]]:
    """What is printed, and which modules a fresh interpreter has imported for it."""
    answer = subprocess.run(
        [sys.executable, "-c", ASK_FOR_HELP, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    code, output, modules = json.loads(answer.stdout)
    assert code == 0
    return output, set(modules)


def test_help_of_the_root_imports_nothing_heavy() -> None:
    output, modules = ask_for_help("--help")
    words = " ".join(output.split())
    for name, summary in COMMANDS.items():
        assert f"{name} " in words
        assert summary.split()[0] in words
    assert not modules & {"numpy", "pyFAI", "bluesky", "ophyd", "tiled", "torch"}


def test_help_of_a_command_imports_that_command_only() -> None:
    output, modules = ask_for_help("classify", "--help")
    assert "--wavelength" in output
    assert "ringwatch.agent.cli.classify" in modules
    assert not modules & {"bluesky", "ophyd", "tiled", "torch"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_commands_say(name: str) -> None:
    command = getattr(import_module(f"ringwatch.agent.cli.{name}"), name)
    first = (inspect.getdoc(command) or "").split("\n\n")[0]
    assert " ".join(first.split()) == COMMANDS[name]


def test_a_command_that_is_not_there_is_refused() -> None:
    result = CliRunner().invoke(app, ["clasify", "x.cbf"])
    assert result.exit_code == 2
    assert "clasify" in result.output


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.split() == ["ringwatch", version("ringwatch")]
