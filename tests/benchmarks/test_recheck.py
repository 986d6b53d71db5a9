"""Ledgers of earlier code: taken over only if pieces come out the same again."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringwatch.benchmarks.flags.ledger import Ledger, LedgerError
from ringwatch.benchmarks.flags.recheck import check_names, recheck
from ringwatch.benchmarks.flags.task import Task

OLD, NEW = {"code": "0a", "seed": 1}, {"code": "0b", "seed": 1}


def doubled(number: int) -> dict[str, int]:
    return {"twice": 2 * number}


PIECES = {str(k): Task("alarms", str(k), doubled, (k,)) for k in range(9)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of earlier code, with nine pieces."""
    ledger = Ledger(tmp_path / "a.jsonl", OLD)
    for name, task in PIECES.items():
        ledger.add(name, task.do(*task.arguments))
    return ledger.path


def test_equal_pieces_are_taken_over(path: Path) -> None:
    with pytest.raises(LedgerError, match="--recheck"):
        Ledger(path, NEW)
    assert len(set(recheck([(path, NEW, PIECES)], 4))) == 4
    ledger = Ledger(path, NEW)
    assert len(ledger) == 9
    assert ledger.rechecked == [{"from": "0a", "pieces": 4}]
    assert not list(recheck([(path, NEW, PIECES)], 4))


def test_a_piece_that_differs_keeps_the_ledger_as_it_is(path: Path) -> None:
    pieces = PIECES | {"7": Task("alarms", "7", doubled, (8,))}
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"'7' comes out differently.*another folder"):
        list(recheck([(path, NEW, pieces)], 9))
    assert path.read_bytes() == before


def test_ledgers_are_taken_over_together_or_none(path: Path, tmp_path: Path) -> None:
    other = Ledger(tmp_path / "b.jsonl", OLD)
    other.add("7", {"twice": 15})
    ledgers = [(path, NEW, PIECES), (other.path, NEW, PIECES)]
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"b\.jsonl: '7' comes out differently"):
        list(recheck(ledgers, 9))
    assert path.read_bytes() == before


def test_other_work_is_not_taken_over(path: Path) -> None:
    with pytest.raises(LedgerError, match="belongs to other work"):
        list(recheck([(path, {"code": "0b", "seed": 2}, PIECES)], 9))
    few = {name: task for name, task in PIECES.items() if name != "3"}
    with pytest.raises(LedgerError, match="'3'"):
        list(recheck([(path, NEW, few)], 9))


def test_what_a_change_touches_is_done_anew(tmp_path: Path) -> None:
    told = {
        "one": {"story": "quiet", "flags": {"low_counts": 3}, "raises": {}},
        "two": {"story": "quiet", "flags": {"ice": 1}, "raises": {"ice": 1}},
        "three": {"story": "strain", "flags": {}, "raises": {}},
        "four": {"case": "ice", "flag": "ice"},
        "five": {"case": "shadow", "flag": "shadow", "causes": {"ice": 2}},
        "six": {"case": "shadow", "flag": "shadow", "causes": {"shadow": 2}},
    }
    pieces = {name: Task("alarms", name, dict, (told[name],)) for name in told}
    path = tmp_path / "a.jsonl"
    ledger = Ledger(path, OLD)
    for name, result in told.items():
        ledger.add(name, result)
    assert list(recheck([(path, NEW, pieces)], 9, ["ice", "strain"])) == ["one", "six"]
    ledger = Ledger(path, NEW)
    assert [name for name, _ in ledger.results()] == ["one", "six"]
    note = {"from": "0a", "pieces": 2, "anew": ["ice", "strain"], "forgotten": 4}
    assert ledger.rechecked == [note]


def test_names_are_of_stories_and_flags() -> None:
    check_names(["ice", "strain", "sample change"])
    with pytest.raises(LedgerError, match=r"'snow' is no story \(.*strain.*no flag"):
        check_names(["ice", "snow"])
