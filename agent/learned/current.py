"""The heads as a registry has them, looked at anew when a run starts."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

from ringwatch.agent.errors import LearnedError
from ringwatch.agent.learned.heads import Heads
from ringwatch.agent.learned.registry import Registry
from ringwatch.agent.settings import Settings

__all__ = ["CurrentHeads"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentHeads:
    """Heads, and the state of the registry that they are of.

    Attributes
    ----------
    heads : Heads
    registry : Registry or None
        None: there is no folder for heads, and never will be.
    stamp : tuple of int
    """

    heads: Heads = field(default_factory=Heads)
    registry: Registry | None = None
    stamp: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, settings: Settings) -> CurrentHeads:
        """Those that the settings name.

        Raises
        ------
        LearnedError
            If one of them cannot be read.
        """
        folder = settings.heads_folder
        if folder is None:
            return cls()
        registry = Registry(folder)
        stamp = registry.stamp()
        return cls(heads=registry.heads(), registry=registry, stamp=stamp)

    def renewed(self) -> CurrentHeads:
        """Those that stand now; itself where no step was taken since.

        Heads that cannot be read are told in the log, and left as they were: a scan
        does not end for them.
        """
        if self.registry is None or self.registry.stamp() == self.stamp:
            return self
        stamp = self.registry.stamp()
        try:
            return replace(self, heads=self.registry.heads(), stamp=stamp)
        except LearnedError as error:
            logger.error("heads stay as they were: %s", error)
            return replace(self, stamp=stamp)
