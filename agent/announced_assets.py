"""What was announced of files and not yet asked for: resources and datums, bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from ringwatch.agent.assets import Asset
from ringwatch.agent.document_bounds import text_of, whole_number
from ringwatch.agent.nouns import LostLocator

__all__ = ["AnnouncedAssets"]

MOST = 100_000
"""Resources, and datums, that are remembered; the oldest give way."""


class AnnouncedAssets:
    """Resources by uid, and datums until their event comes.

    Of a datum only its resource and its point are kept. What nobody asks for goes with
    its run, or when there is too much of it.
    """

    def __init__(self) -> None:
        self._resources: OrderedDict[str, Asset | LostLocator] = OrderedDict()
        self._datums: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def add(self, uid: str, asset: Asset | LostLocator) -> None:
        """Note a resource."""
        self._resources[uid] = asset
        while len(self._resources) > MOST:
            self._resources.popitem(last=False)

    def add_datum(self, doc: dict[str, Any]) -> None:
        """Note a classic datum."""
        point = whole_number(doc["datum_kwargs"].get("point_number", 0))
        self._datums[text_of(doc["datum_id"])] = text_of(doc["resource"]), point
        while len(self._datums) > MOST:
            self._datums.popitem(last=False)

    def find(self, uid: str) -> Asset | LostLocator:
        """The resource ``uid``; why there is none, where there is none."""
        lost = LostLocator(reason=f"resource {uid:.80} was never announced")
        return self._resources.get(uid, lost)

    def take(self, datum_id: str) -> tuple[Asset | LostLocator, int]:
        """Resource and point of a datum, which is forgotten."""
        if datum_id not in self._datums:
            why = f"datum {datum_id:.80} was never announced"
            return LostLocator(reason=why), 0
        uid, point = self._datums.pop(datum_id)
        return self.find(uid), point

    def forget(self, uids: Iterable[str]) -> None:
        """Let go of resources and of their datums."""
        gone = set(uids)
        for uid in gone:
            self._resources.pop(uid, None)
        for datum_id in [d for d, (uid, _) in self._datums.items() if uid in gone]:
            del self._datums[datum_id]
