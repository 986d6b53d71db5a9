"""A beamline with a truth: sample, beam, detector, faults, scenarios, ophyd devices.

It imports the physics of ``ringwatch.models`` and nothing of the agent. What it knows
of each frame goes to the stream ``truth`` alone.
"""
