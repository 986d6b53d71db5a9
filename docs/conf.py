"""How the documentation is built: `make docs`. Reference pages come from the code."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

logging.getLogger("pyFAI").setLevel(logging.WARNING)  # tells of every geometry

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE))

from generated_pages import write_pages  # noqa: E402

project = "Ringwatch"
version = release = version_of("ringwatch")
project_copyright = "the Ringwatch developers"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"Ringwatch {version}"
html_show_sphinx = False
exclude_patterns = ["flags/ledger/*", "examples/*"]
myst_heading_anchors = 3
nitpicky = True


_CARD = "../../models/weights/MODEL_CARD.md"


def setup(app: Any) -> None:
    """Make the reference pages before Sphinx looks for pages."""
    folder = _HERE / "reference" / "generated"
    app.connect("builder-inited", lambda _: write_pages(folder))
    app.connect("source-read", _point_into_the_site)


def _point_into_the_site(app: Any, page: str, source: list[str]) -> None:
    """Links that hold in the repository lead to the copy that the site has."""
    source[0] = source[0].replace(_CARD, "../reference/generated/model_card.md")
