"""What a service says, and how: as text for people, or as JSON for a log store."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Literal

import typer
from rich.console import Console

from ringwatch.agent.errors import GeometryError, SettingsError
from ringwatch.agent.log_lines import JsonLines

__all__ = ["Form", "begin_log", "wrong_settings_exit"]

Form = Literal["text", "json"]
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

logger = logging.getLogger(__name__)


def begin_log(form: Form, *, verbose: bool) -> Callable[[str], None]:
    """Log to standard error in this form from here on; what to say news with.

    Parameters
    ----------
    form : {'text', 'json'}
    verbose : bool
        Whether to log also what goes well. News are told in any case.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(_TEXT))
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    if form == "json":
        logger.setLevel(logging.INFO)
        return logger.info
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print


@contextlib.contextmanager
def wrong_settings_exit(form: Callable[[], Form]) -> Iterator[None]:
    """Exit with 78 (EX_CONFIG of sysexits.h) where the settings cannot be used.

    A manager of services must not start one anew that can only fail again.
    """
    try:
        yield
    except (SettingsError, GeometryError) as error:
        if form() == "json":
            begin_log("json", verbose=False)
            logger.critical("%s", error)
        else:
            console = Console(stderr=True, highlight=False, soft_wrap=True)
            console.print("error:", style="bold red", end=" ")
            console.print(str(error), markup=False)
        raise typer.Exit(os.EX_CONFIG) from error
