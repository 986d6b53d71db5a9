"""A head as a file: tensors and card in one, named by the hash over both."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ringwatch.agent.errors import LearnedError
from ringwatch.models.class_heads import ClassHead
from ringwatch.models.heads import FlagHead

__all__ = ["Head", "check_name", "read_head", "write_head"]

_MOST_BYTES = 16 << 20
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HEADER = 8  # bytes of the length of the header


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What was taught under one name.

    Attributes
    ----------
    name : str
        Lower-case letters, digits and _: it becomes part of published fields.
    digest : str
        SHA-256, hex, of its file.
    card : mapping
        How it came to be: frames, people, runs, and the measured false-alarm rate.
    model : FlagHead or ClassHead
    """

    name: str
    digest: str
    card: Mapping[str, Any]
    model: FlagHead | ClassHead

    @property
    def is_flag(self) -> bool:
        """Whether it is a flag, and no set of classes."""
        return isinstance(self.model, FlagHead)

    @property
    def false_alarms(self) -> Mapping[str, Any] | None:
        """The measured false alarms; None where they were not measured."""
        found = self.card.get("false_alarms")
        return found if isinstance(found, Mapping) else None


def check_name(name: str) -> str:
    """Give a name back if it is one.

    Raises
    ------
    LearnedError
        If it is none.
    """
    if not _NAME.fullmatch(name):
        raise LearnedError(
            f"{name[:60]!r} is no name: take lower-case letters, digits and _, up to "
            "40, such as gasket_rings"
        )
    return name


def write_head(
    folder: Path, name: str, model: FlagHead | ClassHead, card: Mapping[str, Any]
) -> Head:
    """Write a head to ``folder``; one that is there already stays as it is.

    Raises
    ------
    LearnedError
        If the name is none, or the file cannot be written.
    """
    told = dict(card) | {"name": check_name(name), "kind": _kind_of(model)}
    if isinstance(model, ClassHead):
        told["classes"] = list(model.names)
    text = json.dumps(told, sort_keys=True, allow_nan=True)
    tensors = {k: np.ascontiguousarray(v) for k, v in model.to_tensors().items()}
    content = save(tensors, metadata={"card": text})
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"{digest}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            part = path.with_suffix(f".{os.getpid()}.part")
            part.write_bytes(content)
            part.replace(path)
    except OSError as error:
        raise LearnedError(
            f"the head {name!r} cannot be written to {folder} ({error.strerror}): "
            "check the folder"
        ) from error
    return Head(name=name, digest=digest, card=told, model=model)


def read_head(folder: Path, digest: str) -> Head:
    """Read a head; its content must have the hash that it is named by.

    Raises
    ------
    LearnedError
        If it is missing, damaged or too large.
    """
    if not _DIGEST.fullmatch(digest):
        raise LearnedError(f"{digest[:80]!r} is no SHA-256 of a head")
    path = folder / f"{digest}.safetensors"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise LearnedError(f"{path} is larger than {_MOST_BYTES} bytes: no head")
        content = path.read_bytes()
    except OSError as error:
        raise LearnedError(
            f"no head at {path} ({error.strerror}): teach it again, or roll back"
        ) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise LearnedError(f"{path} was changed since it was written: roll back")
    try:
        tensors = load(content)
        length = int.from_bytes(content[:_HEADER], "little")
        header = json.loads(content[_HEADER : _HEADER + length])
        card = json.loads(header["__metadata__"]["card"])
        model: FlagHead | ClassHead
        if card["kind"] == "flag":
            model = FlagHead.of_tensors(tensors)
        else:
            model = ClassHead.of_tensors(list(map(str, card["classes"])), tensors)
        name = check_name(str(card["name"]))
    except (SafetensorError, ValueError, LookupError, TypeError) as error:
        raise LearnedError(f"{path} is no head of ours: {error}") from error
    return Head(name=name, digest=digest, card=card, model=model)


def _kind_of(model: FlagHead | ClassHead) -> str:
    return "flag" if isinstance(model, FlagHead) else "classes"
