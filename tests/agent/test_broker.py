"""Runs of databroker and of profiles: what ``documents(fill=...)`` gives, in order.

databroker itself is not installed. A ``Broker`` is stood for by a few lines around the
real thing below it: ``documents(fill=False)`` of Bluesky's client, on a real server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky_tiled_plugins import TiledWriter
from tiled.profiles import load_profiles
from typer.testing import CliRunner

from ringwatch.agent.cli import app
from ringwatch.agent.documents import Announcer
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import ReplayError, TiledAwayError
from ringwatch.agent.frames import FrameReader
from ringwatch.agent.nouns import FrameRef
from ringwatch.agent.sources.broker import documents_of, open_profile
from ringwatch.agent.sources.tiled import find_run, replay
from ringwatch.agent.tiled_client import disconnect
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .flaky_proxy import FlakyProxy

FRAMES = 5
STYLES = ("stream", "inline", "datum")


class Header:
    """What ``db[uid]`` is, as far as it is used."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self.start = run.metadata["start"]

    def documents(self, *, fill: bool = True) -> Iterator[Any]:
        return iter(self._run.documents(fill=fill))


class Seen:
    """Frames as an agent would see them."""

    def __init__(self, documents: Any) -> None:
        self.told: list[tuple[Any, ...]] = []
        self._reader = FrameReader()
        announcer = Announcer(self, detector="detector_image")
        for name, doc in documents:
            announcer.feed(name, doc)
        self._reader.close()

    def run_started(self, start: dict[str, Any]) -> None:
        pass

    def frame_announced(self, ref: FrameRef) -> None:
        pixels = self._reader.read(ref)
        self.told.append(
            (
                ref.index,
                ref.seq_num,
                ref.time,
                ref.readbacks,
                pixels.dtype,
                pixels.tobytes(),
            )
        )

    def run_stopped(self, stop: dict[str, Any]) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broker")


@pytest.fixture(scope="module")
def stored(server: EmbeddedTiled, folder: Path) -> dict[str, tuple[Beamline, Any]]:
    """A run of each style."""
    runs = {}
    raw = server.catalog("raw-broker")
    for style in STYLES:
        beamline = powder_beamline(
            folder / style, detector=128, style=style, exposure_time=0.01
        )
        engine: Any = RunEngine({}, call_returns_result=False)
        engine.subscribe(TiledWriter(raw, batch_size=100))
        (uid,) = engine(beamline.step_scan(FRAMES))
        runs[style] = beamline, raw[uid]
    return runs


@pytest.mark.parametrize("style", STYLES)
def test_a_header_gives_the_frames_of_the_run(
    style: str, stored: dict[str, tuple[Beamline, Any]]
) -> None:
    _, run = stored[style]
    expected = Seen(replay(run)).told
    assert [told[:2] for told in expected] == [(n, n + 1) for n in range(FRAMES)]
    assert len({told[-1] for told in expected}) == FRAMES
    assert Seen(documents_of(Header(run))).told == expected
    assert Seen(documents_of(run)).told == expected


def test_files_outside_the_roots_are_not_opened(
    stored: dict[str, tuple[Beamline, Any]], tmp_path: Path
) -> None:
    """Neither for the frames nor for the columns beside them: they come from Tiled."""
    beamline, run = stored["stream"]
    inside = {name for name, _ in documents_of(run, roots=(beamline.folder,))}
    assert "stream_resource" in inside
    outside = list(documents_of(run, roots=(tmp_path,)))
    assert "stream_resource" not in dict(outside)
    assert Seen(outside).told == Seen(replay(run)).told


def test_classic_documents_pass_as_they_are(folder: Path) -> None:
    """As a databroker on MongoDB gives them: datums, ahead of their events or pages."""
    beamline = powder_beamline(
        folder / "classic", detector=128, style="datum", exposure_time=0.01
    )
    live: list[tuple[str, dict[str, Any]]] = []
    engine: Any = RunEngine({}, call_returns_result=False)
    engine.subscribe(lambda name, doc: live.append((name, doc)))
    engine(beamline.step_scan(FRAMES))

    class Classic:
        def documents(self, *, fill: bool = True) -> Iterator[Any]:
            assert not fill
            yield from live

    assert Seen(documents_of(Classic())).told == Seen(live).told


def test_what_is_no_run_is_refused() -> None:
    with pytest.raises(ReplayError, match=r"db\[uid\]"):
        list(documents_of({"uid": "run"}))


def test_documents_that_break_off_are_an_error(
    stored: dict[str, tuple[Beamline, Any]],
) -> None:
    _, run = stored["stream"]

    class Broken:
        def documents(self, *, fill: bool = True) -> Iterator[Any]:
            yield from list(run.documents(fill=fill))[:2]
            raise OSError("the server went away")

    with pytest.raises(ReplayError, match="went away"):
        list(documents_of(Broken()))


@pytest.mark.parametrize("malformed", [["event"], {"descriptor": "x"}, {}])
def test_malformed_documents_are_an_error(malformed: Any) -> None:
    class Malformed:
        def documents(self, *, fill: bool = True) -> Iterator[Any]:
            yield "event", malformed

    with pytest.raises(ReplayError, match="run is whole"):
        list(documents_of(Malformed()))


@pytest.fixture
def profile(
    server: EmbeddedTiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A Tiled profile of the server, as a facility puts it into a folder."""
    (tmp_path / "site.yml").write_text(f"beamline:\n  uri: {server.uri}\n")
    monkeypatch.setenv("TILED_API_KEY", server.api_key)
    monkeypatch.setattr("tiled.profiles.paths", [tmp_path])
    load_profiles.cache_clear()
    yield "beamline"
    load_profiles.cache_clear()


def test_a_profile_leads_to_the_runs(
    profile: str, stored: dict[str, tuple[Beamline, Any]]
) -> None:
    _, run = stored["stream"]
    runs = open_profile(profile, "raw-broker")
    try:
        found = find_run(runs, run.metadata["start"]["uid"])
        assert Seen(documents_of(found)).told == Seen(replay(run)).told
        assert runs.context is not run.context  # a client of its own
    finally:
        disconnect(runs)


def test_a_profile_that_is_not_there(profile: str) -> None:
    with pytest.raises(ReplayError, match=r"no profile 'elsewhere'.*beamline"):
        open_profile("elsewhere")
    with pytest.raises(ReplayError, match=r"no container 'cooked'.*raw-broker"):
        open_profile(profile, "cooked")


def test_a_profile_whose_server_fails(
    profile: str,
    server: EmbeddedTiled,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has no such container, and then cannot say which it has."""
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1)
    with FlakyProxy(server.uri) as proxy:
        (tmp_path / "site.yml").write_text(f"{profile}:\n  uri: {proxy.uri}\n")
        load_profiles.cache_clear()
        proxy.policy = lambda method, path, body: (500 * ("/search/" in path), True)
        with pytest.raises(TiledAwayError, match="fails when asked for container"):
            open_profile(profile, "cooked")


def test_replay_and_store_through_a_profile(
    profile: str,
    stored: dict[str, tuple[Beamline, Any]],
    tmp_path: Path,
    server: EmbeddedTiled,
) -> None:
    beamline, run = stored["stream"]
    config = tmp_path / "agent.toml"
    config.write_text(
        f'poni = "{beamline.poni_path}"\n'
        f'mask = "{beamline.mask_path}"\n'
        'detector = "detector_image"\n'
        'classifier = "none"\n'
        'tiled_container = "analysis-broker"\n'
    )
    uid = run.metadata["start"]["uid"]
    command = ["replay", uid, "--profile", profile, "--container", "raw-broker"]
    command += ["--config", str(config), "--json"]
    result = CliRunner().invoke(app, [*command, "--store"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)[0]["frames"] == FRAMES
    result = CliRunner().invoke(app, [*command, "--diff"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)[0]["diff"]["differ"] == 0
    assert server.api_key not in result.output
