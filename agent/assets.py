"""Where announced files keep their frames: resources of both styles -> locators."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from ringwatch.agent.files.image_names import ImageNames
from ringwatch.agent.nouns import FileLocator, LostLocator

__all__ = ["HDF5", "Asset", "asset_of_resource", "asset_of_stream_resource"]

HDF5 = "application/x-hdf5"

_HDF5_SPECS = {"AD_HDF5", "AD_HDF5_SWMR", "AD_HDF5_GERM", "HDF5", "XSP3"}
_IMAGE_SPECS = {"AD_TIFF": "image/tiff", "AD_CBF": "application/x-cbf"}
_AD_TEMPLATE = "%s%s_%6.6d.tiff"
_NUMBERS = 1 << 63
_LONGEST_PATH = 4096  # of Linux
_LONGEST_NAME = 300  # of a dataset, groups included


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
    names : ImageNames or None
        Of the images of a folder; None for one file.
    frames_per_point : int
        Frames of one datum, 0 where the document does not say.
    """

    path: Path
    mimetype: str
    data_key: str = ""
    dataset: str = ""
    names: ImageNames | None = None
    frames_per_point: int = 0

    def locate(
        self, index: int, per_index: int, offset: int
    ) -> FileLocator | LostLocator:
        """Locate the ``offset``-th frame of the ``index``-th point. Never raises."""
        number = index * per_index + offset
        if not 0 <= number < _NUMBERS:
            return LostLocator(
                reason=f"point {hex(index)[:40]}, frame {hex(offset)[:40]}: no file "
                "holds a frame of such a number"
            )
        if self.mimetype == HDF5:
            return FileLocator(
                path=self.path, mimetype=HDF5, dataset=self.dataset, start=number
            )
        if self.names is not None:
            return FileLocator(
                path=self.path / self.names.name(number), mimetype=self.mimetype
            )
        if number:
            return LostLocator(
                reason=f"{self.path!s:.200} is one image, but frame {number} of it was "
                "announced: a series needs a template"
            )
        return FileLocator(path=self.path, mimetype=self.mimetype)


def asset_of_stream_resource(doc: dict[str, Any]) -> Asset | LostLocator:
    """Read a StreamResource document: HDF5, or a series of TIFF or CBF images."""
    mimetype = str(doc["mimetype"])
    parameters = doc.get("parameters", {})
    uri = urlparse(str(doc["uri"]))
    if uri.scheme not in ("file", ""):
        return LostLocator(
            reason=f"only file:// is read, not {uri.scheme[:20]!r} "
            f"({str(doc['uri'])[:200]})"
        )
    path = unquote(uri.path)
    data_key = str(doc.get("data_key", ""))
    template = str(parameters.get("template") or "")
    if mimetype == HDF5 and not template:
        dataset = str(parameters.get("dataset") or parameters.get("path") or "")
        return _checked(
            Asset(path=Path(path), mimetype=HDF5, data_key=data_key, dataset=dataset)
        )
    image = re.search(r"image/[a-z0-9.+-]+|application/x-cbf", mimetype)
    if image is None:
        many = " in many files" * bool(template)
        return LostLocator(
            reason=f"frames of type {mimetype[:80]!r}{many} are not known: HDF5, TIFF "
            "and CBF are"
        )
    if not template:
        return _checked(
            Asset(path=Path(path), mimetype=image.group(), data_key=data_key)
        )
    folder, prefix = path, ""
    if not path.endswith("/") and not template.startswith("/"):
        # Bluesky's consolidators put address and name together as they are.
        folder, _, prefix = path.rpartition("/")
    names = ImageNames.from_template(template, str(parameters.get("filename", "")))
    if names is None:
        return _unknown_template(template)
    return _checked(
        Asset(
            path=Path(folder or "/"),
            mimetype=image.group(),
            data_key=data_key,
            names=replace(names, before=prefix + names.before),
        )
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
        return _checked(
            Asset(
                path=path, mimetype=HDF5, dataset=str(dataset), frames_per_point=frames
            )
        )
    if spec in _IMAGE_SPECS:
        template = str(arguments.get("template", _AD_TEMPLATE))
        names = ImageNames.from_template(template, str(arguments.get("filename", "")))
        if names is None:
            return _unknown_template(template)
        return _checked(
            Asset(
                path=path,
                mimetype=_IMAGE_SPECS[spec],
                names=names,
                frames_per_point=frames,
            )
        )
    known = ", ".join(sorted(_HDF5_SPECS | set(_IMAGE_SPECS)))
    return LostLocator(
        reason=f"resources of spec {spec[:80]!r} are not known: {known} are"
    )


def _checked(asset: Asset) -> Asset | LostLocator:
    """The asset, where its names are of a length that names have."""
    before = asset.names.before if asset.names else ""
    for name, longest in (
        (str(asset.path), _LONGEST_PATH),
        (asset.dataset, _LONGEST_NAME),
        (before, _LONGEST_NAME),
    ):
        if len(name) > longest:
            return LostLocator(
                reason=f"the name {name[:80]!r}... has {len(name)} letters: there is "
                "no such file"
            )
    return asset


def _unknown_template(template: str) -> LostLocator:
    return LostLocator(
        reason=f"the template {template[:80]!r} does not name images: one number of at "
        f"most 20 digits is expected and no folders, as in {_AD_TEMPLATE!r}"
    )
