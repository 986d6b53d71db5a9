"""Where announced files keep their frames: resources of both styles -> locators."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from ringwatch.agent.nouns import FileLocator, LostLocator

__all__ = ["HDF5", "Asset", "asset_of_resource", "asset_of_stream_resource"]

HDF5 = "application/x-hdf5"

_HDF5_SPECS = {"AD_HDF5", "AD_HDF5_SWMR", "AD_HDF5_GERM", "HDF5", "XSP3"}
_IMAGE_SPECS = {"AD_TIFF": "image/tiff", "AD_CBF": "application/x-cbf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One announced file, or a folder of single images.

    Attributes
    ----------
    path : Path
        The file, or the folder.
    mimetype : str
        ``application/x-hdf5`` or an image type.
    data_key : str
        Data key that it belongs to; empty where the document does not say.
    dataset : str
        Path inside an HDF5 file.
    template : str
        Name of the n-th image of a folder, in %-form or in str.format form.
    frames_per_point : int
        Frames of one datum, 0 where the document does not say.
    """

    path: Path
    mimetype: str
    data_key: str = ""
    dataset: str = ""
    template: str = ""
    frames_per_point: int = 0

    def locate(self, index: int, per_index: int, offset: int) -> FileLocator:
        """Locate the ``offset``-th frame of the ``index``-th point."""
        number = index * per_index + offset
        if self.template:
            return FileLocator(
                path=self.path / self._name(number), mimetype=self.mimetype
            )
        return FileLocator(
            path=self.path,
            mimetype=self.mimetype,
            dataset=self.dataset,
            start=number,
            stop=number + 1,
        )

    def _name(self, number: int) -> str:
        if "%" in self.template:
            return self.template % number
        return self.template.format(number)


def asset_of_stream_resource(doc: dict[str, Any]) -> Asset | LostLocator:
    """Read a StreamResource document: HDF5, or the TIFF series of ophyd-async."""
    mimetype = str(doc["mimetype"])
    parameters = doc.get("parameters", {})
    uri = urlparse(str(doc["uri"]))
    if uri.scheme not in ("file", ""):
        return LostLocator(
            reason=f"only file:// is read, not {uri.scheme!r} ({doc['uri']})"
        )
    path = Path(unquote(uri.path))
    data_key = str(doc.get("data_key", ""))
    if mimetype == HDF5:
        dataset = str(parameters.get("dataset") or parameters.get("path") or "")
        return Asset(path=path, mimetype=HDF5, data_key=data_key, dataset=dataset)
    image = re.search(r"image/[a-z0-9.+-]+|application/x-cbf", mimetype)
    if image is not None:
        template = str(parameters.get("template") or "")
        return Asset(
            path=path, mimetype=image.group(), data_key=data_key, template=template
        )
    return LostLocator(
        reason=f"frames of type {mimetype!r} are not known: HDF5, TIFF and CBF are"
    )


def asset_of_resource(doc: dict[str, Any]) -> Asset | LostLocator:
    """Read a classic Resource document (areaDetector's HDF5, TIFF and CBF)."""
    spec = str(doc["spec"])
    arguments = doc.get("resource_kwargs", {})
    path = Path(str(doc.get("root") or "/")) / str(doc["resource_path"])
    frames = int(arguments.get("frame_per_point") or 0)
    if spec in _HDF5_SPECS or spec.startswith("AD_HDF5"):
        dataset = (
            arguments.get("dataset") or arguments.get("path") or "/entry/data/data"
        )
        return Asset(
            path=path, mimetype=HDF5, dataset=str(dataset), frames_per_point=frames
        )
    if spec in _IMAGE_SPECS:
        # areaDetector's template is like "%s%s_%6.6d.tiff": folder, name, number.
        template = str(arguments.get("template", "%s%s_%6.6d.tiff"))
        name = template.replace("%s", "", 1).replace(
            "%s", str(arguments.get("filename", "")), 1
        )
        return Asset(
            path=path,
            mimetype=_IMAGE_SPECS[spec],
            template=name,
            frames_per_point=frames,
        )
    known = ", ".join(sorted(_HDF5_SPECS | set(_IMAGE_SPECS)))
    return LostLocator(reason=f"resources of spec {spec!r} are not known: {known} are")
