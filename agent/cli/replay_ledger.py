"""Which runs are done: one line a run, so that a broken-off replay can go on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ringwatch.agent.cli.replay_orders import Order
from ringwatch.agent.errors import SettingsError

__all__ = ["ReplayLedger"]

_NAME = "replay.jsonl"


class ReplayLedger:
    """Answers of finished runs in a folder: ``replay.jsonl``, and verdicts in files.

    A run counts as done where the same was asked of it on the same analysis id. A last
    line that was cut off, by a full disk or a kill, does not count.

    Parameters
    ----------
    folder : Path
        Made if it is not there.

    Raises
    ------
    SettingsError
        If the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME
        self._done: dict[tuple[Any, ...], dict[str, Any]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = self._path.read_text() if self._path.exists() else ""
            if text and not text.endswith("\n"):  # the next line must not join it
                with self._path.open("a") as file:
                    file.write("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"--out {folder} cannot be used ({error}): name a folder to write to"
            ) from error
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._done[_key(entry["asked"], entry["analysis_id"])] = entry
            except (ValueError, LookupError, TypeError):
                continue  # cut off: that run is done again

    def __len__(self) -> int:
        return len(self._done)

    def answer(self, order: Order, analysis_id: str) -> dict[str, Any] | None:
        """What was found when this was done; None where it was not, or not all is left.

        Parameters
        ----------
        order : Order
        analysis_id : str
            Of the settings as they are now.
        """
        entry = self._done.get(_key(_asked(order), analysis_id))
        if entry is None:
            return None
        answer: dict[str, Any] = dict(entry["answer"])
        if order.frames:
            try:
                text = self._verdicts_of(answer["run"]).read_text()
                answer["verdicts"] = json.loads(text)
            except (OSError, ValueError):
                return None
        return answer

    def add(self, order: Order, answer: dict[str, Any]) -> None:
        """Write down the answer to an order, for good.

        Raises
        ------
        SettingsError
            If it cannot be written.
        """
        kept = {key: value for key, value in answer.items() if key != "verdicts"}
        entry = {
            "asked": _asked(order),
            "analysis_id": answer["analysis_id"],
            "answer": kept,
        }
        try:
            if "verdicts" in answer:
                path = self._verdicts_of(answer["run"])
                draft = path.with_suffix(".part")
                draft.write_text(json.dumps(answer["verdicts"]) + "\n")
                draft.replace(path)
            with self._path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SettingsError(
                f"{self._path} cannot be written ({error.strerror}): make room, then "
                "go on with the same command"
            ) from error
        self._done[_key(entry["asked"], entry["analysis_id"])] = entry

    def _verdicts_of(self, uid: str) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in uid)
        return self._path.with_name(f"{safe}.json")


def _asked(order: Order) -> dict[str, Any]:
    """What of an order decides its answer, besides the analysis id."""
    return {
        "uid": order.uid,
        "source": order.profile or order.tiled,
        "container": order.container,
        "store": order.store,
        "diff": order.diff,
        "against": order.against,
    }


def _key(asked: dict[str, Any], analysis_id: str) -> tuple[Any, ...]:
    return (*(asked[name] for name in sorted(asked)), analysis_id)
