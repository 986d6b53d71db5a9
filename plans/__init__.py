"""Bluesky plans that listen to the agent.

They import nothing of ours but ``ringwatch.agent.nouns``. What the agent says is here,
as signals and one by one; the plans that act on it come with a later version.
"""
