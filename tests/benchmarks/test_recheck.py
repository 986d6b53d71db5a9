"""Ledgers of earlier code: taken over only if pieces come out the same again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

from ringwatch.benchmarks.flags.ledger import Ledger, LedgerError
from ringwatch.benchmarks.flags.recheck import Pieces, Recheck, check_names
from ringwatch.benchmarks.flags.task import Task

OLD, NEW = {"code": "0a", "seed": 1}, {"code": "0b", "seed": 1}


def piece(name: str, number: int) -> Task:
    """A piece that other processes can do too."""
    return Task("alarms", name, dict, ({"twice": 2 * number},))


def recheck(
    ledgers: Iterable[Pieces],
    number: int,
    anew: Collection[str] = (),
    processes: int = 1,
) -> list[str]:
    """Names of the pieces that came out the same."""
    again = Recheck(ledgers, number, anew)
    same = list(again.repeat(processes))
    assert len(same) == len(again)
    return same


PIECES = {str(k): piece(str(k), k) for k in range(9)}


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
    assert len(set(recheck([(path, NEW, PIECES)], 4, processes=2))) == 4
    ledger = Ledger(path, NEW)
    assert len(ledger) == 9
    assert ledger.rechecked == [{"from": "0a", "pieces": 4}]
    assert not recheck([(path, NEW, PIECES)], 4)


def test_a_piece_that_differs_keeps_the_ledger_as_it_is(path: Path) -> None:
    pieces = PIECES | {"7": piece("7", 8)}
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"'7' comes out differently.*another folder"):
        recheck([(path, NEW, pieces)], 9)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("now", "same"),
    [
        ({"seen": 7, "median": -0.9454692506663823}, True),  # another processor's sine
        ({"seen": 7, "median": -0.9454692}, False),
        ({"seen": 8, "median": -0.9454692506663294}, False),
        ({"seen": 7}, False),
    ],
)
def test_only_the_last_bits_may_differ(
    tmp_path: Path, now: dict[str, float], same: bool
) -> None:
    ledger = Ledger(tmp_path / "c.jsonl", OLD)
    ledger.add("one", {"all": [{"seen": 7, "median": -0.9454692506663294}]})
    pieces = {"one": Task("alarms", "one", lambda: {"all": [now]}, ())}
    if same:
        assert recheck([(ledger.path, NEW, pieces)], 1) == ["one"]
        return
    with pytest.raises(LedgerError, match="'one' comes out differently"):
        recheck([(ledger.path, NEW, pieces)], 1)


def test_ledgers_are_taken_over_together_or_none(path: Path, tmp_path: Path) -> None:
    other = Ledger(tmp_path / "b.jsonl", OLD)
    other.add("7", {"twice": 15})
    ledgers = [(path, NEW, PIECES), (other.path, NEW, PIECES)]
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"b\.jsonl: '7' comes out differently"):
        recheck(ledgers, 9)
    assert path.read_bytes() == before


def test_other_work_is_not_taken_over(path: Path) -> None:
    with pytest.raises(LedgerError, match="belongs to other work"):
        recheck([(path, {"code": "0b", "seed": 2}, PIECES)], 9)
    few = {name: task for name, task in PIECES.items() if name != "3"}
    with pytest.raises(LedgerError, match="'3'"):
        recheck([(path, NEW, few)], 9)


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
    assert recheck([(path, NEW, pieces)], 9, ["ice", "strain"]) == ["one", "six"]
    ledger = Ledger(path, NEW)
    assert [name for name, _ in ledger.results()] == ["one", "six"]
    note = {"from": "0a", "pieces": 2, "anew": ["ice", "strain"], "forgotten": 4}
    assert ledger.rechecked == [note]


def test_names_are_of_stories_and_flags() -> None:
    check_names(["ice", "strain", "sample change"])
    with pytest.raises(LedgerError, match=r"'snow' is no story \(.*strain.*no flag"):
        check_names(["ice", "snow"])
