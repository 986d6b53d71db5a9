"""The words of `explain` name what went wrong in ten of ten runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringwatch.agent.account.titles import title
from ringwatch.benchmarks.explained_runs import FAULTS, explain_run


@pytest.mark.long
def test_the_cause_is_named_in_ten_of_ten(tmp_path: Path) -> None:
    runs = [explain_run(tmp_path / str(n), n) for n in range(10)]
    assert [run.paragraph for run in runs if not run.found] == []
    assert sum(run.is_first for run in runs) >= 9
    assert {run.fault for run in runs} <= set(FAULTS)
    assert len({run.fault for run in runs}) == 10
    for run in runs:  # in words, not only in the account
        told = run.paragraph.partition("What went wrong")[2]
        assert any(title(flag) in told for flag in run.right), run.paragraph
