"""The settings from their TOML file, or a word on what is wrong with it."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ringwatch.agent.errors import SettingsError
from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.settings import Settings

__all__ = ["load_settings"]


def load_settings(path: Path | None = None, **overrides: Any) -> Settings:
    """Read a TOML file and lay ``overrides`` over it.

    Parameters
    ----------
    path : Path, optional
        TOML file; None for defaults only.
    **overrides
        Fields of ``Settings``; those that are None are left out.

    Raises
    ------
    SettingsError
        Where the file is missing or malformed, or a key is unknown or out of bounds.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except OSError as error:
            raise SettingsError(f"cannot read the settings {path}: {error}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is no valid TOML: {error}") from error
    values |= {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(_in_words(error, path)) from error


def _in_words(error: ValidationError, path: Path | None) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            inside = problem["loc"][0] == "quality" and len(problem["loc"]) > 1
            lines.append(
                f"unknown setting {key!r}; {_meant(str(problem['loc'][-1]), inside)}"
            )
        elif problem["type"] == "value_error":  # our own words, of several settings
            said = problem["msg"].removeprefix("Value error, ")
            lines.append(f"setting {key!r}: {said}" if key else said)
        else:
            lines.append(
                f"setting {key!r}: {problem['msg']} (got {problem['input']!r})"
            )
    return "; ".join(lines) + (f" (in {path})" if path else "")


def _meant(name: str, inside: bool) -> str:
    """What was meant by an unknown name, ``inside`` the table of the flags or not."""
    flags = sorted(field.name for field in fields(QualitySettings))
    top = sorted(Settings.model_fields)
    if inside and name in top:
        return "it belongs to the top level, above any [table]"
    if not inside and name in flags:
        return "it belongs into the table [quality]"
    known = flags if inside else top
    near = get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are: {', '.join(known)}"
