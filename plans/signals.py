"""What the agent says, as ophyd signals: to read in plans, to plot, to suspend on."""

from __future__ import annotations

import math
import threading
from typing import Any

from ophyd import Component, Device, DynamicDeviceComponent, Signal

from ringwatch.agent.nouns import Flag
from ringwatch.plans.heard import Heard
from ringwatch.plans.verdicts import Verdicts

__all__ = ["AgentSignals"]

_LOOK_S = 0.2  # how soon an agent in trouble is noticed, beyond its patience
_JOIN_S = 2.0
_FURTHER = (
    "beam_center_dy_px",
    "beam_center_sigma_px",
    "tilt_y_deg",
    "radial_scale_sigma_ppm",
    "crystalline_fraction",
    "precision",
)
_OWN = frozenset({"latency_ms", "novelty", "label_prob"})
_KEYS = tuple(
    dict.fromkeys([f.value_key for f in Flag if f.value_key not in _OWN] + [*_FURTHER])
)


class AgentSignals(Device):
    """The newest verdict, and whether there is an agent to give one.

    A thread of its own sets the signals, so that neither agent nor RunEngine waits for
    who watches them; where verdicts come faster some are skipped, never the last. Nor
    do they go back to later revisions of earlier frames. ``index`` is set after all
    else of its verdict, each time. To act on every single verdict ask ``verdicts``.

    Parameters
    ----------
    verdicts : Verdicts
    name : str

    Attributes
    ----------
    agent_ok : Signal of bool
        False where no verdict may be waited for, and from the start until an agent is
        there; ``why_not`` says why, in words.
    run_uid, index, seq_num, revision, verdict, reason, primary_flag, alarm : Signal
        As in ``Heard``.
    label, label_prob, unsure, novelty, latency_ms : Signal
    values : DynamicDeviceComponent
        A signal for each physical value, such as ``values.beam_center_dx_px``; NaN
        where it was not evaluated.
    """

    agent_ok = Component(Signal, value=False)
    why_not = Component(Signal, value="")
    run_uid = Component(Signal, value="", kind="config")
    seq_num = Component(Signal, value=-1, kind="config")
    revision = Component(Signal, value=-1, kind="config")
    verdict = Component(Signal, value="")
    reason = Component(Signal, value="")
    primary_flag = Component(Signal, value="")
    alarm = Component(Signal, value="")
    label = Component(Signal, value="")
    label_prob = Component(Signal, value=math.nan)
    unsure = Component(Signal, value=True)
    novelty = Component(Signal, value=math.nan)
    latency_ms = Component(Signal, value=math.nan)
    values = DynamicDeviceComponent(
        {key: (Signal, None, {"value": math.nan}) for key in _KEYS}
    )
    index = Component(Signal, value=-1)

    def __init__(
        self, verdicts: Verdicts, *, name: str = "agent", **kwargs: Any
    ) -> None:
        super().__init__("", name=name, **kwargs)
        self.verdicts = verdicts
        self._news = threading.Event()
        self._ended = False
        self._shown: Heard | None = None
        self._stop_listening = verdicts.listen(self._wake)
        self._show_health()
        self._thread = threading.Thread(
            target=self._work, name=f"ringwatch-{name}-signals", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Set nothing any more; ``agent_ok`` ends as False."""
        self._stop_listening()
        self._ended = True
        self._news.set()
        self._thread.join(_JOIN_S)

    def _wake(self, _: Heard) -> None:
        self._news.set()

    def _work(self) -> None:
        try:
            while not self._ended:
                self._news.wait(_LOOK_S)
                self._news.clear()
                self._look()
            self._look()
        finally:  # whatever ends this thread
            _set(self.why_not, "its signals were closed")
            _set(self.agent_ok, False)

    def _look(self) -> None:
        newest = self.verdicts.latest
        new = newest is not None and newest is not self._shown
        if newest is not None and new and not _is_older(newest, self._shown):
            self._show(newest)
            self._shown = newest
        self._show_health()

    def _show_health(self) -> None:
        trouble = self.verdicts.trouble
        _set(self.why_not, trouble)
        _set(self.agent_ok, not trouble)

    def _show(self, heard: Heard) -> None:
        for key in _KEYS:
            _set(getattr(self.values, key), heard.values.get(key, math.nan))
        for signal, value in (
            (self.run_uid, heard.run_uid),
            (self.seq_num, heard.seq_num),
            (self.revision, heard.revision),
            (self.verdict, heard.word.value),
            (self.reason, heard.reason),
            (self.primary_flag, heard.primary_flag),
            (self.alarm, heard.alarm),
            (self.label, heard.label),
            (self.label_prob, heard.label_prob),
            (self.unsure, heard.unsure),
            (self.novelty, heard.novelty),
            (self.latency_ms, heard.latency_ms),
        ):
            _set(signal, value)
        self.index.put(heard.index)


def _is_older(heard: Heard, shown: Heard | None) -> bool:
    """Whether it is a later revision of a frame before the one that is shown."""
    if shown is None or not heard.revision:
        return False
    return heard.run_uid == shown.run_uid and heard.index < shown.index


def _set(signal: Signal, value: Any) -> None:
    """Set a signal where it says something else; who listens hears of changes."""
    before = signal.get()
    same = before == value or (value != value and before != before)  # NaN  # noqa: PLR0124
    if not same:
        signal.put(value)
