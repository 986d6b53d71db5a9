"""Verdicts become documents of a derived Bluesky run.

One derived run per raw run and attempt, one stream per raw stream (of the same name),
one event per verdict revision; ``ringwatch.agent.fields`` says what an event holds.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from importlib.metadata import version
from typing import Any, Literal, cast

import numpy as np
from event_model import ComposeEvent, EventDescriptor, compose_run
from numpy.typing import NDArray

from ringwatch.agent.account import Account
from ringwatch.agent.errors import AgentClosedError, DocumentError
from ringwatch.agent.fields import OBJECT, Fields
from ringwatch.agent.nouns import Verdict
from ringwatch.agent.quality import VALUE_UNITS

__all__ = ["DerivedRun", "NamedDocument", "plain"]

NamedDocument = tuple[str, dict[str, Any]]
"""A document with its event-model name, as a Bluesky callback takes them."""

Bins = Callable[[tuple[int, int]], NDArray[np.float64] | None]
"""Bin centres of patterns, 1/Angstrom, by the shape (y, x) of their frames."""

COPIED = ("scan_id", "plan_name", "sample", "sample_name", "proposal")
"""Keys of the raw start document that the derived one repeats, where they are."""


class DerivedRun:
    """Documents of one derived run, made by event-model's ``compose_run``.

    Each method returns the documents to publish, in order, as (name, document) pairs.
    Not thread-safe: one worker owns a run.

    Parameters
    ----------
    raw_start : mapping
        Start document of the raw run.
    analysis_id : str
        Hash over weights, geometry, mask, dark policy, settings and version.
    attempt : int
        1 for the live pass, rising with each further pass over the same raw run.
    metadata : mapping
        Hashes of model, geometry and mask, and what else belongs in the start document.
    q : (n,) float64 or Bins, optional
        Bin centres of every pattern of this run, 1/Angstrom. Without it the fields
        ``intensity`` and ``sigma`` are absent.
    values : mapping of str to str
        Physical values to publish beside those that the flags name: key to unit.
    learned : mapping of str to type, optional
        Fields of taught heads, str or float.

    Raises
    ------
    DocumentError
        If ``metadata`` would overwrite a key of the start document.
    """

    def __init__(
        self,
        raw_start: Mapping[str, Any],
        *,
        analysis_id: str,
        attempt: int,
        metadata: Mapping[str, Any],
        q: NDArray[np.float64] | Bins | None = None,
        values: Mapping[str, str] = VALUE_UNITS,
        learned: Mapping[str, type] | None = None,
    ) -> None:
        self._learned = dict(learned or {})
        own = {key: plain(raw_start[key]) for key in COPIED if key in raw_start}
        own |= {
            "raw_uid": raw_start["uid"],
            "original_run_uid": raw_start["uid"],
            "analysis_id": analysis_id,
            "attempt": attempt,
            "agent": "ringwatch",
            "agent_version": version("ringwatch"),
            "purpose": "online analysis of powder diffraction frames",
        }
        if clash := {"uid", "time", *own}.intersection(metadata):
            raise DocumentError(
                f"metadata has {sorted(clash)}, which the derived run sets itself; "
                "use other names"
            )
        fresh = {"uid": str(uuid.uuid4()), "time": time.time()}
        self._begin(fresh | own | plain(dict(metadata)), {}, q, values, Account())

    def _begin(
        self,
        start: Mapping[str, Any],
        counters: dict[str, int],
        q: NDArray[np.float64] | Bins | None,
        values: Mapping[str, str],
        account: Account,
    ) -> None:
        told = {k: v for k, v in start.items() if k not in {"uid", "time"}}
        self._counters = counters
        self._bundle = compose_run(
            uid=start["uid"], time=start["time"], metadata=told, event_counters=counters
        )
        self._values = values
        self._bins = q if callable(q) else None
        self._fields = Fields(None if callable(q) else q, values, self._learned)
        self._compose_event: dict[str, Any] = {}  # by stream
        self._account = account
        self._first: list[NamedDocument] = []
        self._stopped = False

    @classmethod
    def resumed(
        cls,
        start: Mapping[str, Any],
        descriptors: Iterable[Mapping[str, Any]],
        next_seq: Mapping[str, int],
        *,
        q: NDArray[np.float64] | Bins | None = None,
        account: Account | None = None,
        values: Mapping[str, str] = VALUE_UNITS,
        learned: Mapping[str, type] | None = None,
    ) -> DerivedRun:
        """Go on with a derived run whose writer died: the same uid, the next events.

        Parameters
        ----------
        start : mapping
            Its start document.
        descriptors : iterable of mapping
            Its descriptors so far.
        next_seq : mapping of str to int
            ``seq_num`` of the next event of each stream.
        q : (n,) float64 or Bins, optional
            As for a new one, where no descriptor says it.
        account : Account, optional
            Of its events so far.
        values, learned : mapping
            As for a new one.
        """
        run = cls.__new__(cls)
        run._learned = dict(learned or {})
        so_far = Account() if account is None else deepcopy(account)
        run._begin(start, dict(next_seq), q, values, so_far)
        for descriptor in descriptors:
            run._go_on(descriptor)
        return run

    @property
    def uid(self) -> str:
        """The uid of the derived run."""
        return str(self._bundle.start_doc["uid"])

    def start(self) -> list[NamedDocument]:
        """The start document."""
        return [("start", dict(self._bundle.start_doc))]

    def precede(self, documents: Iterable[NamedDocument]) -> None:
        """Let documents go before the next ones of this run, whichever these are."""
        self._first += documents

    def event(self, verdict: Verdict) -> list[NamedDocument]:
        """Documents that publish one revision of a verdict.

        Returns
        -------
        list of (name, document)
            The event; before it the descriptor, where the raw stream is new. Arrays are
            numpy arrays, scalars are Python's own.

        Raises
        ------
        DocumentError
            If the pattern has another length than ``q``.
        AgentClosedError
            After ``stop``: later verdicts belong to the next attempt.
        """
        if self._stopped:
            raise AgentClosedError(
                f"derived run {self.uid} is stopped; make a DerivedRun with the next "
                "attempt for later verdicts"
            )
        if self._bins is not None:
            self._fields = Fields(
                self._bins(verdict.frame.shape), self._values, self._learned
            )
            self._bins = None
        data = self._fields.data(verdict)
        stream = verdict.frame.stream
        documents, self._first = self._first, []
        if stream not in self._compose_event:
            documents.append(("descriptor", self._add_stream(stream)))
        now = time.time()
        # Not validated at run time: the keys come from the same table as the
        # descriptor's, and the tests validate every document.
        event = self._compose_event[stream](
            data=data, timestamps=dict.fromkeys(data, now), time=now, validate=False
        )
        documents.append(("event", dict(event)))
        self._account.count(stream, data)
        return documents

    def stop(
        self,
        exit_status: Literal["success", "abort", "fail"] = "success",
        reason: str = "",
        *,
        raw_exit_status: str = "unknown",
        frames: Mapping[str, int] | None = None,
    ) -> list[NamedDocument]:
        """The stop document, with the number of frames per word and one paragraph.

        Parameters
        ----------
        exit_status : {'success', 'abort', 'fail'}
            How the analysis ended, not the scan.
        reason : str
            Why, where it is not success.
        raw_exit_status : str
            How the raw run ended; ``abandoned`` if it never said.
        frames : mapping of str to int, optional
            Of the raw run, earlier attempts included: ``announced``, ``final``.

        Raises
        ------
        AgentClosedError
            If the run is already stopped.
        """
        if self._stopped:
            raise AgentClosedError(f"derived run {self.uid} is already stopped")
        self._stopped = True
        stop = self._bundle.compose_stop(exit_status=exit_status, reason=reason)
        told = {
            "raw_exit_status": raw_exit_status,
            "verdicts": dict(self._account.words()),
            "summary": self._summary(),
        }
        if frames is not None:
            told["frames"] = dict(frames)
        return [*self._first, ("stop", dict(stop) | told)]

    def _summary(self) -> str:
        """What became of its frames; where it goes on with an attempt, says so."""
        before = self._bundle.start_doc.get("final_before", ())
        frames = sum(last - first + 1 for *_, first, last in before)
        told = self._account.paragraph()
        if not frames:
            return told
        return (
            f"{frames} frames were told of by an earlier attempt (`ringwatch explain` "
            f"tells of all); of the rest: {told}"
        )

    def _go_on(self, descriptor: Mapping[str, Any]) -> None:
        """Compose further events of a descriptor that was published before."""
        known = descriptor.get("configuration", {}).get(OBJECT, {}).get("data", {})
        q = None if "q" not in known else np.asarray(known["q"], np.float64)
        self._fields, self._bins = Fields(q, self._values, self._learned), None
        document = cast(EventDescriptor, dict(descriptor))
        self._counters.setdefault(descriptor["name"], 1)
        self._compose_event[descriptor["name"]] = ComposeEvent(
            descriptor=document, event_counters=self._counters
        )

    def _add_stream(self, stream: str) -> dict[str, Any]:
        data_keys = self._fields.data_keys()
        bundle = self._bundle.compose_descriptor(
            name=stream,
            data_keys=data_keys,
            configuration=self._fields.configuration(),
            object_keys={OBJECT: list(data_keys)},
            hints={OBJECT: {"fields": ["label_prob"]}},
            validate=False,  # as for events; it takes a tenth of a second
        )
        self._compose_event[stream] = bundle.compose_event
        return dict(bundle.descriptor_doc)


def plain(value: Any) -> Any:
    """``value`` in Python's own types: numpy scalars and arrays become numbers, lists.

    Mappings, lists and tuples are copied, everything else is handed through.
    """
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
