"""databroker and catalogue profiles as sources of stored runs.

A beamline's people know their data as ``db[uid]``. Whatever has ``documents(fill=...)``
- a header of ``databroker.v1.Broker``, a run of a databroker catalogue - can be
replayed, and databroker itself need not be installed for it. Nothing here is shared
with the live agent: a profile opens a client of its own.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ringwatch.agent.errors import MALFORMED, ReplayError
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sources.tiled import replay
from ringwatch.agent.sources.tiled_server import container_of

# isort: split
# After sources.tiled, which sets Tiled's retries before Tiled is imported.
import httpx
from tiled.client.constructors import from_profile
from tiled.profiles import ProfileNotFound, list_profiles

__all__ = ["documents_of", "open_profile"]

Document = dict[str, Any]

logger = logging.getLogger(__name__)


def documents_of(
    header: Any, *, detector: str | None = None, roots: tuple[Path, ...] = (Path("/"),)
) -> Iterator[NamedDocument]:
    """Documents of a run of a Broker or a catalogue, frames with their events.

    Parameters
    ----------
    header : object
        ``db[uid]``, with ``documents(fill=...)``; or a run of a Tiled catalogue.
    detector, roots
        See ``sources.tiled.replay``: they count for a run of a Tiled catalogue.

    Raises
    ------
    ReplayError
        If it is no such object, or its documents break off.

    Examples
    --------
    >>> for name, doc in documents_of(db[uid]):
    ...     agent.feed(name, doc)
    """
    if hasattr(header, "include_data_sources"):
        yield from replay(header, detector=detector, roots=roots)
        return
    if not callable(getattr(header, "documents", None)):
        raise ReplayError(
            f"{type(header).__name__} is no run of a Broker: expected db[uid], which "
            "has documents(fill=...)"
        )
    try:
        yield from _in_order(header.documents(fill=False))
    except (httpx.HTTPError, OSError, *MALFORMED) as error:
        raise ReplayError(
            f"the documents of the run break off ({type(error).__name__}: {error}): "
            "check that the server of the Broker answers and that the run is whole, "
            "then replay again"
        ) from error


def _in_order(documents: Iterable[NamedDocument]) -> Iterator[NamedDocument]:
    """Put each frame before its event, and arrays back where nested lists are.

    A databroker gives all events first, then one StreamDatum over all frames.
    """
    streams: dict[str, _Stream] = {}
    for name, doc in documents:
        if name == "descriptor":
            streams[doc["uid"]] = _Stream(dict(doc))
        elif name in ("event", "event_page"):
            events = _events_of(doc) if name == "event_page" else iter([doc])
            for event in events:
                yield from streams[doc["descriptor"]].event(dict(event))
        elif name == "stream_datum":
            yield from streams[doc["descriptor"]].stream_datum(dict(doc))
        else:
            if name == "stop":
                yield from _end_all(streams)
            yield name, dict(doc)
    yield from _end_all(streams)  # a run without a stop document


def _end_all(streams: dict[str, _Stream]) -> Iterator[NamedDocument]:
    while streams:
        yield from streams.pop(next(iter(streams))).end()


class _Stream:
    """One descriptor, and what waits for the frames that come after all events.

    Whether frames come so is seen at the first event: it lacks the key of the frames,
    whatever the descriptor says of them. The descriptor waits for that event.
    """

    def __init__(self, descriptor: Document) -> None:
        self._descriptor = descriptor
        self._told = False
        self._apart: set[str] = set()  # keys of frames that come after the events
        self._events: list[Document] = []
        self._datums: list[Document] = []
        self._types = {
            key: str(said.get("dtype_numpy") or "")
            for key, said in descriptor["data_keys"].items()
            if said.get("shape") and not said.get("external")
        }

    def event(self, event: Document) -> Iterator[NamedDocument]:
        if not self._told:
            yield from self._tell(event["data"])
        if self._apart:
            self._events.append(event)
        else:
            yield "event", event | {"data": self._with_arrays(event["data"])}

    def stream_datum(self, datum: Document) -> Iterator[NamedDocument]:
        if not self._told:
            yield from self._tell({})
        self._datums.append(datum)

    def end(self) -> Iterator[NamedDocument]:
        if not self._told:
            yield from self._tell({})
        yield from _joined(self._events, self._mended())

    def _mended(self) -> list[Document]:
        """The StreamDatums; an empty one, as Tiled makes of classic datums, filled.

        It says ``indices 0..0`` for files that were announced with one frame a point.
        """
        numbers = [event["seq_num"] for event in self._events]
        empty = [d for d in self._datums if d["indices"]["stop"] == 0]
        if len(self._datums) != 1 or not empty or not numbers:
            return self._datums
        logger.warning(
            "stream %s: its frames are announced as none; taking one for each of its "
            "%d events",
            self._descriptor.get("name"),
            len(numbers),
        )
        first = min(numbers)
        return [
            empty[0]
            | {
                "indices": {"start": 0, "stop": len(numbers)},
                "seq_nums": {"start": first, "stop": first + len(numbers)},
            }
        ]

    def _tell(self, data: Document) -> Iterator[NamedDocument]:
        """The descriptor, which says ``STREAM:`` of frames that come by StreamDatum."""
        self._told = True
        data_keys = dict(self._descriptor["data_keys"])
        for key, said in data_keys.items():
            if said.get("external") and key not in data:
                self._apart.add(key)
                data_keys[key] = said | {"external": "STREAM:"}
        yield "descriptor", self._descriptor | {"data_keys": data_keys}

    def _with_arrays(self, data: Document) -> Document:
        return {
            key: np.asarray(value, dtype=self._types[key] or None)
            if key in self._types and isinstance(value, list | tuple)
            else value
            for key, value in data.items()
        }


def _joined(events: list[Document], datums: list[Document]) -> Iterator[NamedDocument]:
    """Frames of a stream, each before the event of its ``seq_num``."""
    waiting = sorted(events, key=lambda event: event["seq_num"])
    for datum in sorted(datums, key=lambda datum: datum["seq_nums"]["start"]):
        offset = datum["indices"]["start"] - datum["seq_nums"]["start"]
        begin, end = datum["seq_nums"]["start"], datum["seq_nums"]["stop"]
        while begin < end:
            while waiting and waiting[0]["seq_num"] < begin:
                yield "event", waiting.pop(0)
            stop = min(end, waiting[0]["seq_num"] + 1) if waiting else end
            part = {
                "uid": f"{datum['uid']}+{begin}",
                "indices": {"start": begin + offset, "stop": stop + offset},
                "seq_nums": {"start": begin, "stop": stop},
            }
            yield "stream_datum", datum | part
            begin = stop
    yield from (("event", event) for event in waiting)


def _events_of(page: Document) -> Iterator[Document]:
    filled = page.get("filled", {})
    for row, seq_num in enumerate(page["seq_num"]):
        yield {
            "uid": page["uid"][row],
            "descriptor": page["descriptor"],
            "time": page["time"][row],
            "seq_num": seq_num,
            "data": {key: column[row] for key, column in page["data"].items()},
            "timestamps": {k: column[row] for k, column in page["timestamps"].items()},
            "filled": {key: column[row] for key, column in filled.items()},
        }


def open_profile(name: str, container: str = "raw") -> Any:
    """The catalogue of raw runs of a Tiled or databroker profile, on its own client.

    Close its connections with ``tiled_client.disconnect``.

    Parameters
    ----------
    name : str
        As ``tiled profile list`` shows it, or a name in ``databroker.catalog``.
    container : str
        Container of the raw runs, where the profile does not lead to them itself.

    Raises
    ------
    ReplayError
        If there is no such profile, or its server does not answer.
    """
    try:
        root = from_profile(name)
    except ProfileNotFound:
        root = _databroker_catalog(name)
    except (httpx.HTTPError, OSError, RuntimeError, ValueError, KeyError) as error:
        raise ReplayError(
            f"the catalogue of profile {name!r} cannot be opened "
            f"({type(error).__name__}): check its address (`tiled profile show "
            f"{name}`), that the server runs, and TILED_API_KEY"
        ) from error
    specs = {spec.name for spec in getattr(root, "specs", ())}
    if "CatalogOfBlueskyRuns" in specs or not hasattr(root, "context"):
        return root
    return container_of(root, container, f"profile {name!r}")


def _databroker_catalog(name: str) -> Any:
    """``databroker.catalog[name]``, where databroker is installed and knows it."""
    try:
        return importlib.import_module("databroker").catalog[name]
    except (ImportError, AttributeError, LookupError) as error:
        known = ", ".join(sorted(list_profiles())) or "none"
        raise ReplayError(
            f"no profile {name!r}; Tiled knows: {known}. `tiled profile create` makes "
            "one; names in databroker.catalog count where databroker is installed"
        ) from error
