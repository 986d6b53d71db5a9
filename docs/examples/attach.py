"""Watch every frame of a RunEngine. Copy it into the startup folder of a profile.

In the profile, after ``RE`` and the detector:

    from attach import attach

    agent = attach(RE, "agent.toml")
"""

import atexit

from ringwatch.agent import Agent


def attach(RE, settings=None, **overrides):
    """Subscribe an agent to a RunEngine; it is closed when IPython ends.

    ``settings`` is a TOML file; ``overrides`` are fields of it, such as
    ``poni="detector.poni"``.
    """
    agent = Agent(settings, **overrides)
    RE.subscribe(agent)  # never blocks, never raises
    atexit.register(agent.close)  # works off what waits, at most half a minute
    return agent
