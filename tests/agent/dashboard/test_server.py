"""What the page's server lets by, and what it tells with each answer."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from ringwatch.agent import Agent
from ringwatch.agent.errors import SettingsError
from ringwatch.benchmarks.page import Document, feed, renamed

from .browsing import FRAMES, Recorded, await_until, bytes_unsent, connect_deaf

Make = Callable[..., Agent]


def asked(
    agent: Agent, path: str, *, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    assert agent.page_url is not None
    place = urlsplit(agent.page_url)
    connection = HTTPConnection(str(place.hostname), place.port, timeout=20)
    connection.request(method, path, headers={"Connection": "close"} | headers)
    answer = connection.getresponse()
    told = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    connection.close()
    return told


def socket_url(agent: Agent) -> str:
    return str(agent.page_url).replace("http", "ws") + "live"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8580", "10.0.0.7", ""])
def test_names_that_are_not_this_machines_own_are_refused(
    agent_of: Make, host: str
) -> None:
    agent = agent_of()
    status, _, body = asked(agent, "/", Host=host)
    assert status == 403
    assert b"127.0.0.1" in body
    for ours in ("localhost", "127.0.0.1:9", "[::1]:8580"):  # also through a tunnel
        assert asked(agent, "/", Host=ours)[0] == 200


def test_another_page_may_not_listen_nor_ask(agent_of: Make) -> None:
    agent = agent_of()
    with pytest.raises(InvalidStatus):
        connect(socket_url(agent), origin="http://evil.example")  # type: ignore[arg-type]
    for other in ("http://evil.example", "http://["):
        assert asked(agent, "/api/runs", Origin=other)[0] == 403
    own = str(agent.page_url).rstrip("/")
    with connect(socket_url(agent), origin=own) as listening:  # type: ignore[arg-type]
        assert listening.recv(5)


def test_nothing_may_run_but_our_own_files(agent_of: Make) -> None:
    agent = agent_of()
    for path in ("/", "/static/js/main.js", "/api/runs", "/nowhere"):
        _, headers, _ = asked(agent, path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in headers
    assert asked(agent, "/docs")[0] == asked(agent, "/openapi.json")[0] == 404
    assert asked(agent, "/static/../page.py")[0] == 404
    page = asked(agent, "/")[2].decode()
    assert "<script>" not in page
    assert "style=" not in page


@pytest.mark.parametrize(
    "path",
    [
        "/api/run?uid=nobody",
        "/api/frame?uid=nobody&index=0",
        f"/api/frame?uid={'x' * 400}&index=0",
        "/api/frame?uid=nobody&index=-1",
        "/api/runs?offset=-5",
    ],
)
def test_what_is_not_there_is_an_answer_too(agent_of: Make, path: str) -> None:
    status, _, body = asked(agent_of(), path)
    assert status in (404, 422)
    assert json.loads(body)["detail"]


def test_beyond_this_machine_only_if_told_so(recorded: Recorded) -> None:
    with pytest.raises(SettingsError, match="allow_remote"):
        Agent(**recorded.files, classifier="none", page="0.0.0.0:0")
    with pytest.raises(SettingsError, match=r"page = 'here' is no address"):
        Agent(**recorded.files, classifier="none", page="here")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SettingsError, match="cannot be served"):
            Agent(**recorded.files, classifier="none", page=place)
    with Agent(
        **recorded.files, classifier="none", page="0.0.0.0:0", allow_remote=True
    ) as agent:
        assert asked(agent, "/", Host="beamline7.example")[0] == 200


def test_a_large_label_is_refused_before_it_is_read(
    agent_of: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RINGWATCH_PAGE_KEY", "key")
    agent = agent_of(state=tmp_path)
    key = {"X-Ringwatch-Key": "key", "Content-Length": str(1 << 30)}
    assert asked(agent, "/api/labels", method="POST", **key)[0] == 413


def test_wrong_keys_are_tried_one_after_the_other(
    agent_of: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RINGWATCH_PAGE_KEY", "key")
    agent = agent_of(state=tmp_path)

    def attempt(key: str) -> int:
        headers = {"X-Ringwatch-Key": key}
        return asked(agent, "/api/key", method="POST", **headers)[0]

    began = time.monotonic()
    with ThreadPoolExecutor(4) as at_once:
        assert list(at_once.map(attempt, "abcd")) == [401] * 4
    assert time.monotonic() - began > 4 * 0.5
    assert attempt("key") == 204


def test_an_unusable_folder_of_labels_stops_nobody(
    agent_of: Make,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("RINGWATCH_PAGE_KEY", "key")
    (tmp_path / "labels").write_text("a file, where a folder is wanted")
    agent = agent_of(state=tmp_path)
    recorded.feed(agent)
    told = json.loads(asked(agent, f"/api/labels?uid={recorded.uid}")[2])
    assert told == {"takes_labels": False, "labels": []}


def test_what_cannot_be_shown_does_not_end_what_can(
    agent_of: Make, recorded: Recorded
) -> None:
    agent = agent_of()
    page = agent._page
    assert page is not None
    page.put("start", {"uid": "odd", "raw_uid": "odd"})
    odd = {"uid": "d", "run_start": "odd", "name": "x", "configuration": "no mapping"}
    page.put("descriptor", odd)
    recorded.feed(agent, stop=False)
    seen = agent.analysis.frames_seen
    assert seen is not None
    assert seen.newest is not None
    with connect(socket_url(agent), max_size=None) as listening:
        _hear_picture(listening, FRAMES - 1)
        ref = replace(seen.newest.ref, index=FRAMES)
        seen.newest = seen.newest._replace(ref=ref, pixels=np.zeros(3))
        time.sleep(0.5)
        page.put("odd", {})  # news: the picture fails
        time.sleep(0.5)
        sound = replace(ref, index=FRAMES + 1)
        seen.newest = seen.newest._replace(ref=sound, pixels=np.ones((256, 256)))
        page.put("odd", {})
        _hear_picture(listening, FRAMES + 1)


def _hear_picture(listening: ClientConnection, index: int) -> None:
    """Listen until there is a picture of a frame."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        told = listening.recv(20)
        assert isinstance(told, bytes)
        header = json.loads(told[4 : 4 + int.from_bytes(told[:4], "little")])
        if header.get("picture", {}).get("index") == index:
            return
    raise AssertionError(f"no picture of frame {index} came")


def test_a_client_that_reads_nothing_keeps_nothing_from_others(
    agent_of: Make, recorded: Recorded
) -> None:
    agent = agent_of()
    deaf = connect_deaf(agent)
    deadline = time.monotonic() + 120
    marks = (f"{number:02x}" for number in itertools.count())
    with connect(socket_url(agent), max_size=None) as listening:
        while not bytes_unsent(agent):
            documents = renamed(recorded.documents, next(marks))
            _feed_and_hear(agent, documents, listening, deadline)
    began = time.monotonic()
    assert agent.close(10)
    assert time.monotonic() - began < 5
    deaf.close()


def _feed_and_hear(
    agent: Agent,
    documents: list[Document],
    listening: ClientConnection,
    deadline: float,
) -> None:
    """Feed a run while somebody listens, who hears of its newest frame."""
    feeding = threading.Thread(target=feed, args=(agent, documents, 100.0))
    feeding.start()
    wanted, newest = (documents[0][1]["uid"], FRAMES - 1), ("", -1)
    while newest != wanted:
        assert time.monotonic() < deadline, f"heard of {newest}, not of {wanted}"
        told = listening.recv(20)
        assert isinstance(told, bytes)
        header = json.loads(told[4 : 4 + int.from_bytes(told[:4], "little")])
        newest = header.get("run", ""), header.get("newest", -1)
    feeding.join()


def test_the_page_ends_with_its_agent(agent_of: Make) -> None:
    agent = agent_of()
    with connect(socket_url(agent)):
        assert agent.close()
    place = urlsplit(str(agent.page_url))

    def gone() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((place.hostname, place.port)) != 0

    await_until(gone, "the port is still open")
