"""Bluesky plans that listen to the agent.

They import nothing of ours but ``ringwatch.agent.nouns``. The plans themselves come
with a later version; ``README.md`` says what works today.
"""
