"""Bluesky plans that listen to the agent.

They import nothing of ours but ``ringwatch.agent.nouns``. Verdicts come one by one
(``verdicts``) and as ophyd signals (``signals``); plans and suspenders that act on them
say only what they would do, unless they are told ``act=True``.
"""
