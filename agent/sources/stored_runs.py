"""Raw runs by their uid, from Tiled: for a second pass, and for dark runs."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from ringwatch.agent.errors import ReplayError
from ringwatch.agent.results import NamedDocument
from ringwatch.agent.sources.tiled import (
    catalog,
    no_run,
    replay,
    run_of,
)
from ringwatch.agent.sources.tiled_server import kind_of
from ringwatch.agent.tiled_client import disconnect

# isort: split
import httpx

__all__ = ["StoredRuns"]


class StoredRuns:
    """Gives the documents of a stored raw run: what ``FetchRun`` asks for.

    Parameters
    ----------
    uri : str
        Tiled server.
    api_key : str, optional
    container : str
        Of the raw runs.
    detector : str, optional
        Data key of the images, or name of their device.
    roots : tuple of Path
        Files are read only below these folders.
    """

    def __init__(
        self,
        uri: str,
        api_key: str | None,
        *,
        container: str,
        detector: str | None = None,
        roots: tuple[Path, ...] = (Path("/"),),
    ) -> None:
        self._uri, self._api_key, self._container = uri, api_key, container
        self._detector = detector
        self._roots = roots

    def __call__(self, uid: str, *, whole: bool = True) -> Generator[NamedDocument]:
        """Documents of the run ``uid``, from its start to its stop document.

        Parameters
        ----------
        uid : str
        whole : bool
            Refuse a run that is not stored to its end.

        Raises
        ------
        ReplayError
            Where it is not stored, not to its end, or cannot be fetched.
        """
        runs = catalog(self._uri, self._api_key, container=self._container)
        try:
            run = run_of(runs, uid)
            if run is None:
                raise no_run(uid)
            if whole and not run.metadata.get("stop"):
                raise ReplayError(f"run {uid} is not stored to its end yet")
            yield from replay(run, detector=self._detector, roots=self._roots)
        except httpx.HTTPError as error:
            raise kind_of(error)(
                f"run {uid} cannot be fetched ({type(error).__name__}: {error})"
            ) from error
        finally:
            disconnect(runs)
