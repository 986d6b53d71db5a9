"""The reference page of the settings, from their fields and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from ringwatch.agent.quality import QualitySettings
from ringwatch.agent.settings import Settings

__all__ = ["settings_lines"]

_SETTINGS = """\
# Settings

One TOML file, `ringwatch serve --config agent.toml` or `Agent("agent.toml")`; or the
same names as keywords of `Agent(...)`. Unknown names are refused. Relative paths count
from the folder in which the process runs. Secrets are never settings: the key of Tiled
is in the environment as `TILED_API_KEY`.

## Top level"""


def settings_lines() -> Iterator[str]:
    """Lines of the page; a setting that nobody described ends the build."""
    yield _SETTINGS
    top = {
        name: _facts(field.default, field.metadata)
        for name, field in Settings.model_fields.items()
        if name != "quality"
    }
    yield from _entries(Settings, top)
    yield ""
    yield "## Table `[quality]`"
    own = {each.name: _facts(each.default, ()) for each in fields(QualitySettings)}
    yield from _entries(QualitySettings, own)


_LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def _facts(default: Any, rules: Iterable[Any]) -> str:
    """Default and bounds of a setting."""
    if isinstance(default, tuple):
        shown = f"[{', '.join(repr(str(each)) for each in default)}]"
    else:
        shown = "none" if default is None else repr(default)
    limits = [
        f"{word} {getattr(rule, attribute):g}"
        for rule in rules
        for attribute, word in _LIMITS.items()
        if hasattr(rule, attribute)
    ]
    return "; ".join([f"default `{shown}`", *limits])


def _entries(what: type, known: dict[str, str]) -> Iterator[str]:
    """Each entry of a docstring's attributes, with the facts of its names."""
    told: set[str] = set()
    for names, kind, said in _described(what):
        mine = [name for name in names if name in known]
        told |= set(mine)
        if mine:
            yield ""
            yield f"### {', '.join(f'`{name}`' for name in mine)}"
            yield ""
            facts = {known[name] for name in mine}
            each = [f"`{name}` {known[name]}" for name in mine]
            yield f"{kind}; {'; '.join(each if len(facts) > 1 else facts)}."
            yield ""
            yield said
    if untold := known.keys() - told:
        raise ValueError(f"{what.__name__}: {sorted(untold)} are not described")


def _described(what: type) -> Iterator[tuple[list[str], str, str]]:
    """Names, type and words of the attributes in a numpydoc docstring."""
    _, _, body = (inspect.getdoc(what) or "").partition("Attributes\n----------\n")
    body = re.split(r"\n\n\w+\n-+\n", body)[0]
    for entry in re.split(r"\n(?=\S)", body):
        head, _, said = entry.partition("\n")
        names, _, kind = head.partition(" : ")
        words = " ".join(line.strip() for line in said.splitlines())
        if kind and words:
            kind = kind.replace("{", "one of ").replace("}", "")
            yield names.split(", "), kind, words.replace("``", "`").strip()
