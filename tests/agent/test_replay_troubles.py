"""``ringwatch replay`` of malformed runs, and from a server that fails on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringwatch.agent.cli import app
from ringwatch.agent.cli.replay_choice import choose_runs
from ringwatch.agent.cli.replay_job import replay_order
from ringwatch.agent.cli.replay_orders import Order, settings_for_replay
from ringwatch.agent.embedded_tiled import EmbeddedTiled
from ringwatch.agent.errors import ReplayError, TiledAwayError
from ringwatch.agent.settings_file import load_settings
from ringwatch.agent.sources.tiled import catalog, replay
from ringwatch.agent.tiled_client import RUN_SPEC, STREAM_SPECS
from ringwatch.simulated_beamline.beamline import Beamline
from ringwatch.simulated_beamline.scenarios import powder_beamline

from .flaky_proxy import FlakyProxy, Policy
from .replay_command import ReplayCommand, answers, store

RAW = "raw-troubles"
FRAMES = 2
MALFORMED: dict[str, tuple[Any, dict[str, Any] | None]] = {
    "no time": ({"uid": "no time"}, None),
    "no uid": ({"time": 1.0}, None),
    "list": (["uid", "time"], None),
    "late": ({"uid": "late", "time": "this morning"}, None),
    "no descriptor": ({"uid": "no descriptor", "time": 1.0}, {}),
    "descriptor is text": ({"uid": "descriptor is text", "time": 1.0}, {"uid": "d"}),
    "shape": (
        {"uid": "shape", "time": 1.0},
        {"uid": "d", "time": 2.0, "data_keys": {"det": {"shape": ["wide", 8]}}},
    ),
    "key": (
        {"uid": "key of keys", "time": 1.0},
        {"uid": "d", "time": 2.0, "data_keys": ["det"]},
    ),
    "untimed": (
        {"uid": "untimed", "time": 1.0},
        {"uid": "d", "data_keys": {"x": {"dtype": "number", "shape": []}}},
    ),
}
"""Start documents, and what stands for a descriptor of their one stream."""


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Beamline:
    return powder_beamline(tmp_path_factory.mktemp("troubles"), detector=128)


@pytest.fixture(scope="module")
def uids(server: EmbeddedTiled, beamline: Beamline) -> list[str]:
    """Two runs that are well."""
    return store(server, RAW, *(beamline.step_scan(FRAMES) for _ in range(2)))


@pytest.fixture(scope="module")
def malformed(server: EmbeddedTiled, uids: list[str]) -> list[str]:
    """Keys of runs in the same container that are not, and of what is no run."""
    runs = server.catalog(RAW)
    for key, (start, descriptor) in MALFORMED.items():
        run = runs.create_container(
            key=key, metadata={"start": start}, specs=[RUN_SPEC]
        )
        if descriptor is not None:
            run.create_container("primary", metadata=descriptor, specs=STREAM_SPECS)
    runs.create_container(key="notes", metadata={"by": "somebody"})
    return list(MALFORMED)


@pytest.fixture
def proxy(
    server: EmbeddedTiled, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FlakyProxy]:
    """A server that can fail, asked once each time."""
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1)
    with FlakyProxy(server.uri) as before_tiled:
        yield before_tiled


def failing(part: str, *, spared: int = 0) -> Policy:
    """Fail where the path ends so, but for the first times."""
    times = count()

    def policy(method: str, path: str, body: bytes) -> tuple[int, bool]:
        is_meant = path.partition("?")[0].endswith(part)
        return (500, False) if is_meant and next(times) >= spared else (0, True)

    return policy


def test_malformed_runs_do_not_end_the_replay_of_all(
    server: EmbeddedTiled,
    beamline: Beamline,
    uids: list[str],
    malformed: list[str],
    tmp_path: Path,
) -> None:
    result = ReplayCommand(server, RAW, beamline, tmp_path)("--all", "--json")
    assert result.exit_code == 1, result.exception
    told = json.loads(result.stdout)
    assert len(told) == len(malformed) + len(uids)
    well = [answer["run"] for answer in told if "error" not in answer]
    assert well == uids
    assert all(answer["analysed"] == FRAMES for answer in told if "error" not in answer)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("key", MALFORMED)
def test_a_malformed_run_is_an_error_with_a_remedy(
    key: str, server: EmbeddedTiled, malformed: list[str]
) -> None:
    run = server.catalog(RAW).values()
    (found,) = [node for node in run if node.item["id"] == key]
    with pytest.raises(ReplayError, match="as it is stored"):
        list(replay(found))


def test_what_is_no_run_is_not_chosen(
    server: EmbeddedTiled, uids: list[str], malformed: list[str]
) -> None:
    chosen = choose_runs(server.catalog(RAW), [], {}, every=True)
    assert len(chosen) == len(malformed) + len(uids)
    assert "notes" not in dict(chosen)


def test_a_server_that_fails_on_the_way_fails_one_run(
    server: EmbeddedTiled,
    beamline: Beamline,
    uids: list[str],
    proxy: FlakyProxy,
    tmp_path: Path,
) -> None:
    """For each run that is stored the archive is asked what it has: first in vain."""
    command = ReplayCommand(server, RAW, beamline, tmp_path)
    command.where[1] = proxy.uri
    greetings: list[str] = []

    def policy(method: str, path: str, body: bytes) -> tuple[int, bool]:
        if path.split("?", maxsplit=1)[0] == "/api/v1/":
            greetings.append(path)
            return (500, False) if len(greetings) == 2 else (0, True)
        return 0, True

    proxy.policy = policy
    result = command(*uids, "--store", "--json")
    assert result.exit_code == 1, result.output
    first, second = json.loads(result.stdout)
    assert first["run"] == uids[0]
    assert "does not answer or refuses" in first["error"]
    assert second["analysed"] == FRAMES


def test_an_order_that_fails_is_answered(
    server: EmbeddedTiled,
    beamline: Beamline,
    uids: list[str],
    proxy: FlakyProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever fails: httpx's own errors do not survive the way between processes.

    The first greeting is for the raw runs, the second for the stored verdicts.
    """
    command = ReplayCommand(server, RAW, beamline, tmp_path)
    settings = settings_for_replay(load_settings(command.config))
    monkeypatch.setenv("TILED_API_KEY", server.api_key)
    order = Order(
        number=0,
        uid=uids[0],
        tiled=proxy.uri,
        profile="",
        container=RAW,
        settings=settings.model_dump_json(),
        diff=True,
    )
    for part, spared in (("/v1/", 1), ("/v1/", 0), (f"/{uids[0]}", 0)):
        proxy.policy = failing(part, spared=spared)
        answer = json.loads(replay_order(order.to_text()))
        assert answer["run"] == uids[0]
        assert "500" in answer["error"] or "does not answer" in answer["error"]


@pytest.mark.parametrize("fails", ["/metadata/cooked", "/search/"])
def test_a_container_that_cannot_be_asked_for(
    fails: str, server: EmbeddedTiled, proxy: FlakyProxy
) -> None:
    """Neither for itself nor, where it is not there, for what there is instead."""
    proxy.policy = failing(fails)
    with pytest.raises(TiledAwayError, match="fails when asked for container"):
        catalog(proxy.uri, server.api_key, container="cooked")


def test_the_key_in_the_address_counts(
    server: EmbeddedTiled,
    beamline: Beamline,
    uids: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not one that the shell has from somewhere else."""
    command = ReplayCommand(server, RAW, beamline, tmp_path)
    words = ["replay", uids[0], "--config", str(command.config), "--json"]
    words += ["--container", RAW, "--tiled", f"{server.uri}?api_key={server.api_key}"]
    monkeypatch.setenv("TILED_API_KEY", "of-another-server")
    assert answers(CliRunner().invoke(app, words))[0]["analysed"] == FRAMES
