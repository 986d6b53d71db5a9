"""Names of the images of a series: templates out of documents, taken with care.

A template comes from whoever may send documents. So it is not formatted but read: one
field for the number, of a bounded width, and no way into another folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["ImageNames"]

_WIDEST = 20
_LONGEST = 200
_NUMBER = re.compile(
    r"%(?P<zero>0?)(?P<width>\d{0,3})(?:\.(?P<digits>\d{1,3}))?[di]"
    r"|\{0?(?::(?P<brace_zero>0?)(?P<brace_width>\d{0,3})d?)?\}"
)
_FOLDER = re.compile(r"(%s)?/")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNames:
    """Names that differ by a number.

    Attributes
    ----------
    before, after : str
        What stands around the number; no path separators.
    digits, width : int
        The number is filled with zeros, then with blanks, up to these lengths.
    """

    before: str
    after: str
    digits: int
    width: int

    @classmethod
    def from_template(cls, template: str, filename: str = "") -> ImageNames | None:
        """Read a template; None where it is none of the known kind.

        Parameters
        ----------
        template : str
            In %-form, as areaDetector's ``%s%s_%6.6d.tiff`` (folder, file name,
            number), or in the form of str.format, as ``{:06d}.tiff``.
        filename : str
            Takes the place of the last ``%s``; the others are the folder's.
        """
        found = list(_NUMBER.finditer(template))
        if len(found) != 1:
            return None
        field = found[0]
        before, after = template[: field.start()], template[field.end() :]
        if folder := _FOLDER.match(before):
            before = before[folder.end() :]
        head, mark, tail = before.rpartition("%s")
        before = head.replace("%s", "") + (filename if mark else "") + tail
        width = int(field["width"] or field["brace_width"] or 0)
        digits = int(field["digits"] or 0)
        if field["zero"] or field["brace_zero"]:
            digits = max(digits, width)
        text = head.replace("%s", "") + tail + after
        if (
            max(width, digits) > _WIDEST
            or len(before + after) > _LONGEST
            or re.search(r"[/\0]", before + after)
            or re.search(r"[%{}]", text)
        ):
            return None
        return cls(before=before, after=after, digits=digits, width=width)

    def name(self, number: int) -> str:
        """Name of one image; ``number`` has at most 20 digits."""
        digits = str(number).zfill(self.digits).rjust(self.width)
        return f"{self.before}{digits}{self.after}"
