"""``ringwatch keys``: a pair of CURVE keys, and what to do with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ringwatch.agent.wire.keys import make_keys

__all__ = ["keys"]


def keys(
    folder: Annotated[Path, typer.Argument(help="Where they go; made if need be.")],
    name: Annotated[str, typer.Argument(help="Whose they are, such as agent or anna.")],
) -> None:
    """Make a pair of keys, so that only those you name talk to the agent over 0MQ.

    NAME.key is public: it is given away. NAME.key_secret is for you alone and never
    leaves its machine. Keys that are there are not overwritten.

    **1. A pair each**, made where it is used: for the agent, for who publishes
    documents, for everyone who listens to verdicts.

    `ringwatch keys ~/.ringwatch agent` &nbsp; `ringwatch keys ~/.ringwatch beamline`
    &nbsp; `ringwatch keys ~/.ringwatch anna`

    **2. Public keys change hands.** beamline.key and anna.key go into a folder on the
    agent's machine that only you can write to, say ~/.ringwatch/allowed; take one out
    again, and it is let in no more. agent.key goes to the others.

    **3. Each end is told.** The agent, in its settings:

    `curve_key = "/home/me/.ringwatch/agent.key_secret"`

    `curve_clients = "/home/me/.ringwatch/allowed"` (who connects to the agent)

    `curve_server = "/home/me/.ringwatch/beamline.key"` (only without documents_bind,
    where the agent connects to who publishes)

    Beside the RunEngine: `DocumentPublisher("tcp://agent.host:5577",
    curve=CurveClient(secret_key=Path("beamline.key_secret"),
    server_key=Path("agent.key")))`, from ringwatch.plans.publisher and
    ringwatch.agent.wire.security.

    Who listens: `RemoteDispatcher("agent.host:5578", deserializer=msgpack.unpackb,
    curve_config=ClientCurve("anna.key_secret", "agent.key"))`, both from
    bluesky.callbacks.zmq.
    """
    pair = make_keys(folder, name)
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"{pair.public}: give it to the other ends", markup=False)
    out.print(f"{pair.secret}: keep it, and show it to nobody", markup=False)
