"""``ringwatch status``: how a running agent is, from its metrics."""

from __future__ import annotations

import http.client
import json
import sys
import time
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.live import Live

from ringwatch.agent.cli.status_table import status_table
from ringwatch.agent.errors import SettingsError
from ringwatch.agent.status_report import (
    NoAgentError,
    Report,
    read_report,
    unreachable,
)

__all__ = ["status"]

_DEFAULT = "http://127.0.0.1:9578/metrics"
_PATIENCE_S = 5.0
_MOST_BYTES = 1 << 20
_WATCH_S = 2.0


def status(
    url: Annotated[
        str | None, typer.Argument(help=f"Of its metrics [default: {_DEFAULT}].")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings (TOML) of the agent, in place of URL.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again every two seconds, until Ctrl-C.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print an object, one a line with --watch.")
    ] = False,
) -> None:
    """Say how a running agent is: frames, latency by stages, queue, spool.

    The agent tells it where its settings say so: `metrics = "127.0.0.1:9578"`. Times
    are the median and the 99th percentile of the last 1000 frames. Exits 0 if all is
    well; 1, with the remedy, if the agent is behind, stale or in trouble, or does not
    answer.

    For example: `ringwatch status`, or `ringwatch status --config agent.toml --watch`.
    """
    address = _address(url, config)
    report = _ask(address)
    if not watch:
        _tell(report, as_json=as_json)
    elif as_json:
        report = _repeat(address, report)
    else:
        report = _refresh(address, report)
    if not report.healthy:
        raise typer.Exit(1)


def _address(url: str | None, config: Path | None) -> str:
    if config is None:
        return url or _DEFAULT
    if url is not None:
        raise SettingsError("give a URL or --config, not both")
    # Imported here: reading settings takes seconds, asking an agent none.
    from ringwatch.agent.metrics_server import host_and_port, url_of  # noqa: PLC0415
    from ringwatch.agent.settings_file import load_settings  # noqa: PLC0415

    metrics = load_settings(config).metrics
    if metrics is None:
        raise SettingsError(
            f'{config} has no metrics: write metrics = "127.0.0.1:9578" and restart '
            "the agent"
        )
    host, port = host_and_port(metrics)
    if not port:
        raise SettingsError(
            f"{config} leaves the port to the agent: its first line names the URL"
        )
    return url_of(host, port)


def _ask(url: str) -> Report:
    try:
        return read_report(url, _fetch(url))
    except NoAgentError as error:
        return unreachable(url, str(error))
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return unreachable(url, why)


def _fetch(url: str) -> str:
    """Text at a URL of HTTP; no proxy, no redirection, no other scheme."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    connections = {
        "http": http.client.HTTPConnection,
        "https": http.client.HTTPSConnection,
    }
    connect = connections.get(parts.scheme)
    if connect is None or not host:
        raise SettingsError(f"{url!r} is no address; expected one such as {_DEFAULT}")
    connection = connect(host, port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", parts.path or "/metrics")
        answer = connection.getresponse()
        body = answer.read(_MOST_BYTES)
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise NoAgentError(f"the answer is {answer.status} {answer.reason}")
    return body.decode(errors="replace")


def _tell(report: Report, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.to_object(), indent=2) + "\n")
    else:
        Console().print(status_table(report), highlight=False)


def _repeat(url: str, report: Report) -> Report:
    """One object a line until Ctrl-C; the newest."""
    try:
        while True:
            sys.stdout.write(json.dumps(report.to_object()) + "\n")
            sys.stdout.flush()
            time.sleep(_WATCH_S)
            report = _ask(url)
    except KeyboardInterrupt:
        return report


def _refresh(url: str, report: Report) -> Report:
    """The table in place until Ctrl-C; the newest."""
    try:
        with Live(status_table(report), auto_refresh=False) as shown:
            while True:
                time.sleep(_WATCH_S)
                report = _ask(url)
                shown.update(status_table(report), refresh=True)
    except KeyboardInterrupt:
        return report
