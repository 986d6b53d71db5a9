"""Check that no link within the built site or the repository leads nowhere.

    python docs/check_links.py build/docs

Looks at pages and at places in them, not at other sites: CI may have no network.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["broken_links", "broken_paths"]

_MARKDOWN = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


class _Page(HTMLParser):
    """Places of a page, and where it leads to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what can be led to, and what leads somewhere."""
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def broken_links(site: Path) -> Iterator[str]:
    """Links between pages of a site, and to its files, that lead nowhere.

    Parameters
    ----------
    site : Path
        Folder of HTML.
    """
    pages = {path: _Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            target = target if parts.path else path
            if not target.is_file():
                yield f"{path.relative_to(site)}: {link} is not there"
                continue
            place = unquote(parts.fragment)
            if place and target in pages and place not in pages[target].places:
                yield f"{path.relative_to(site)}: {link} has no such place"


def broken_paths(root: Path, pages: list[Path]) -> Iterator[str]:
    """Relative links of Markdown files, in the repository, that lead nowhere."""
    for page in pages:
        for link in _MARKDOWN.findall(_CODE.sub("", page.read_text())):
            parts = urlsplit(link)
            generated = "reference/generated/" in link  # made when the site is
            if parts.scheme or not parts.path or generated:
                continue
            if not (page.parent / unquote(parts.path)).exists():
                yield f"{page.relative_to(root)}: {link} is not there"


if __name__ == "__main__":
    here = Path(__file__).resolve().parents[1]
    found = list(broken_links(Path(sys.argv[1]).resolve()))
    written = [*here.glob("*.md"), *(here / "docs").rglob("*.md")]
    made = here / "docs" / "reference" / "generated"
    found += broken_paths(here, [page for page in written if made not in page.parents])
    sys.exit("\n".join(found) or 0)
