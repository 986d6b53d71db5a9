"""End a scan when three frames in a row are of no use. For a profile or a queue server.

from stop_on_verdict import listen_to, careful_scan

verdicts = listen_to(RE, "tcp://127.0.0.1:5578")
RE(careful_scan([det], stage, 0, 5, 51, verdicts=verdicts))             # only says so
RE(careful_scan([det], stage, 0, 5, 51, verdicts=verdicts, act=True))   # does it
"""

from bluesky.plans import scan

from ringwatch.plans.conditions import verdict_is
from ringwatch.plans.remote_verdicts import RemoteVerdicts
from ringwatch.plans.stop_when import stop_when

_remotes = []


def listen_to(RE, address):
    """Verdicts of an agent in another process, beside this RunEngine."""
    remote = RemoteVerdicts(address)
    _remotes.append(remote)  # it listens as long as it is kept
    RE.subscribe(remote.verdicts.announce)  # which frames still wait for theirs
    return remote.verdicts


def careful_scan(detectors, motor, start, stop, num, *, verdicts, act=False):
    """``scan`` that ends where three frames in a row are bad or misaligned.

    Without an agent it runs to its own end.
    """
    plan = scan(detectors, motor, start, stop, num)
    condition = verdict_is("bad", "misaligned", frames=3)
    yield from stop_when(plan, condition, verdicts, act=act)
