"""What became of a run, in words: from its verdicts to one paragraph for people."""

from ringwatch.agent.account.account import Account

__all__ = ["Account"]
