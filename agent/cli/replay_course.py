"""The orders of a replay carried out, here or elsewhere, and told as they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any

import typer
from rich.console import Console

from ringwatch.agent.agent import load_classifier
from ringwatch.agent.analysis import Analysis
from ringwatch.agent.cli.present import VerdictTape
from ringwatch.agent.cli.replay_job import FAILURES, replay_one, replay_order, trouble
from ringwatch.agent.cli.replay_ledger import ReplayLedger
from ringwatch.agent.cli.replay_orders import Order
from ringwatch.agent.cli.replay_table import tell_diff, tell_failure, tell_run
from ringwatch.agent.errors import ReplayError
from ringwatch.agent.replay_many import Job

__all__ = ["Answer", "Spread", "carry_out"]

INTERRUPTED = 130  # as shells have it
Answer = dict[str, Any]
Spread = Callable[[Job, Sequence[str]], Generator[tuple[str, str]]]
"""Has orders carried out elsewhere; gives each with its answer."""


def carry_out(
    orders: list[Order],
    catalogue: Any,
    spread: Spread | None,
    ledger: ReplayLedger | None,
    console: Console,
    *,
    quiet: bool,
) -> list[Answer]:
    """Carry out orders, those that the ledger has not got.

    Parameters
    ----------
    orders : list of Order
    catalogue : catalogue
        As ``open_runs`` gives it.
    spread : callable, optional
        Without it they are carried out in this process, one after the other.
    ledger : ReplayLedger, optional
        Gets the answers as they come.
    console : rich.console.Console
    quiet : bool
        Whether no verdict is told, here.

    Returns
    -------
    list of dict
        An answer for each order, in their order.

    Raises
    ------
    ReplayError
        If there is no order, or what carries them out elsewhere is lost.
    typer.Exit
        After Ctrl-C.
    """
    if not orders:
        raise ReplayError("no run of the catalogue matches: nothing was replayed")
    answers = _known(orders, ledger)
    if answers:
        console.print(f"{len(answers)} of {len(orders)} runs were done before.")
    due = [each for each in orders if each.number not in answers]
    fresh = (
        _elsewhere(due, spread, console)
        if spread
        else _here(due, catalogue, console, quiet=quiet)
    )
    try:
        with closing(fresh):  # what still runs elsewhere has ended when this is told
            for each, answer in fresh:
                answers[each.number] = answer
                if ledger is not None and "error" not in answer:
                    ledger.add(each, answer)
    except KeyboardInterrupt:
        _tell_interrupted(console, len(answers), orders, goes_on=ledger is not None)
        raise typer.Exit(INTERRUPTED) from None
    return [answers[each.number] for each in orders]


class _HeadedTape(VerdictTape):
    """Names its columns once there is something to put below them."""

    _headed = False

    def __call__(self, name: str, doc: Answer) -> None:
        if name == "event" and not self._headed:
            self._headed = True
            self.heading()
        super().__call__(name, doc)


def _known(orders: list[Order], ledger: ReplayLedger | None) -> dict[int, Answer]:
    """Answers of runs that are done; looks up the analysis id only where it counts."""
    if not ledger:
        return {}
    settings = orders[0].read_settings()
    identity = Analysis(settings, load_classifier(settings)).analysis_id
    found = ((order.number, ledger.answer(order, identity)) for order in orders)
    return {number: answer for number, answer in found if answer is not None}


def _here(
    orders: list[Order], catalogue: Any, console: Console, *, quiet: bool
) -> Generator[tuple[Order, Answer]]:
    """One run after the other in this process, frame by frame on a tape."""
    for order in orders:
        tape = None if quiet else _HeadedTape(console)
        try:
            answer = replay_one(order, catalogue, console, listener=tape)
        except FAILURES as error:
            answer = trouble(order, error)
        _tell(console, answer, with_name=False)
        yield order, answer


def _elsewhere(
    orders: list[Order], spread: Spread, console: Console
) -> Generator[tuple[Order, Answer]]:
    """Runs in other processes, told as they end."""
    by_text = {order.to_text(): order for order in orders}
    answers = spread(replay_order, list(by_text))
    try:
        for done, (text, said) in enumerate(answers, 1):
            answer = json.loads(said)
            console.print(f"{done}/{len(orders)}  ", end="", highlight=False)
            _tell(console, answer, with_name=True)
            yield by_text[text], answer
    finally:
        answers.close()


def _tell(console: Console, answer: Answer, *, with_name: bool) -> None:
    if "error" in answer:
        tell_failure(console, answer["run"], answer["error"])
        return
    tell_run(console, answer, with_name=with_name)
    if "diff" in answer:
        tell_diff(console, answer)


def _tell_interrupted(
    console: Console, done: int, orders: list[Order], *, goes_on: bool
) -> None:
    go_on = (
        "the same command goes on with the others"
        if goes_on
        else "the same command begins again; with --out FOLDER it would go on"
    )
    marked = (
        " What was broken off is marked abandoned in Tiled, unless the log says that "
        "documents were not handed over."
    )
    console.print(
        f"Interrupted: {done} of {len(orders)} runs are done; {go_on}."
        + (marked if orders[0].store else ""),
        highlight=False,
    )
