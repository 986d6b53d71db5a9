"""Settings of the agent: one TOML file into frozen models that refuse unknown keys.

Secrets (API keys) are never settings: they come from the environment only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from ringwatch.agent.quality import QualitySettings

__all__ = ["Settings"]

_MOST_FALSE_ALARMS = 3600  # an hour


class Settings(BaseModel):
    """Everything that may be set; each field with unit and bounds.

    Attributes
    ----------
    detector : str or None
        Data key of the images (``pilatus_image``), or name of the device that has them.
        None takes the first image that a run announces.
    poni, mask, dark : Path or None
        pyFAI geometry; image whose non-zero pixels are not used; dark frame to subtract
        from every frame (a dark of the run itself goes first).
    reference : Path or None
        Sound frames to compare with, made by ``ringwatch classify --save-reference``;
        None: the first sound frames of each run.
    npt : int or None
        Number of q bins, 64..2047; None for about one a pixel of radius.
    polarization : float or None
        Polarization factor of the beam along the horizontal; None for no correction.
    split : {'no', 'full'}
        Whether a pixel's counts are shared, by area, between the q bins that it touches
        (``full``, by pyFAI's engine: smoother where bins are narrower than pixels, and
        slower by some 10 ms for each million pixels). The flags use whole pixels.
    dark_stream : str
        Name of the stream of a run that holds its dark frames.
    data_roots : tuple of Path
        Files named by documents are read only below these folders (links resolved).
    max_frame_bytes : int
        Frames that announce more are not read.
    read_timeout_s : float
        How long to wait for a frame that is announced but not yet in its file, seconds.
    hold_s : float
        How long a frame waits for the event that carries its readbacks, seconds.
    max_pending_bytes, max_pending_documents : int
        Bounds of the queue between the RunEngine and the worker: bytes of pixels inside
        events, and documents. Beyond them events lose their pixels, and their frames
        get the verdict ``unknown``, with the reason.
    shed_labels_after_s, shed_frames_after_s : float
        How far behind the agent may be before it leaves out labels, and then whole
        frames, seconds. What was left out gets its final verdict in a second pass, from
        files or from Tiled; where neither has the pixels nothing is left out.
    backfill_patience_s : float
        How long a raw run may take to be stored to its end, for that second pass,
        seconds.
    abandon_after_s : float
        How long nothing may be heard of a run that has not stopped before it is taken
        for abandoned, seconds.
    classifier : str
        ``auto`` (a GPU where there is one), ``onnx``, ``torch`` or ``none``.
    weights : Path or None
        Weights of the classifier; None for those shipped.
    device : str or None
        torch's name of a GPU (``cuda``, ``cuda:1``) that sums and classifies frames, as
        many at once as wait; None: frames are summed on the CPU.
    batch : int
        Frames that a device takes at once, at most.
    batch_wait_ms : float
        How long a frame may wait for others before the device gets it, milliseconds.
    prior : str
        ``natural`` (class frequencies of known inorganic structures) or ``balanced``.
    publish : str or None
        0MQ address to bind, such as ``tcp://127.0.0.1:5578``.
    metrics : str or None
        Where to serve metrics for Prometheus and ``ringwatch status``, such as
        ``127.0.0.1:9578``.
    paragraph : bool
        Whether to print what became of a run where it stops, on the standard error.
    log : {'text', 'json'}
        Form of the log of ``ringwatch serve``: for people, or one JSON object a line.
    page : str or None
        Where to serve the web page, such as ``127.0.0.1:8580``. Labels are taken from
        who has the key that the environment names as ``RINGWATCH_PAGE_KEY``.
    documents_from : {'zmq', 'tiled'}
        Where ``ringwatch serve`` takes documents from: off 0MQ, as they are emitted, or
        out of ``tiled``, as others write them to ``raw_container``, a second or so
        later; for beamlines that publish nothing.
    tiled_poll_s : float
        How often to look for news in a Tiled server that has no websockets, seconds.
    documents : tuple of str
        0MQ addresses of publishers or proxies from which documents come; for
        ``ringwatch serve``.
    documents_prefix : str
        Only documents published under this prefix; empty for all.
    documents_bind : bool
        Whether publishers connect to us.
    documents_max_waiting_bytes : int
        Documents that have come and wait for the agent, at most. Beyond it nothing is
        received, and once the publisher has no more room it drops; frames of dropped
        documents are found in Tiled.
    documents_high_water_mark : int
        Messages that 0MQ holds before those bytes are counted; of inline frames a few
        are much.
    message_bytes : int
        Largest message. A larger one closes its connection before memory is taken.
    allow_remote : bool
        Whether ``publish`` and ``documents`` may be addresses beyond this machine
        without CURVE, and ``metrics`` and ``page`` at all. Nothing is encrypted then:
        whoever reaches the port can listen.
    curve_key : Path or None
        Own ``name.key_secret`` (``ringwatch keys`` makes one): with it both sockets are
        encrypted.
    curve_clients : Path or None
        Folder with the public keys of those who may listen to ``publish``.
    curve_server : Path or None
        Public key of whoever publishes ``documents``.
    state : Path or None
        Folder of this agent's own files: results go to a spool there first, and to
        Tiled from there. None: they wait in memory.
    spool_max_memory_bytes : int
        Results that wait for the disk, at most; for when it is full and Tiled is away.
        Beyond it events are lost, counted and named in the log.
    spool_max_bytes : int
        Files of the spool, at most; beyond it the disk counts as full.
    heads : Path or None
        Folder of what people taught (``ringwatch teach``); None: ``heads`` in
        ``state``, where there is one.
    tiled : str or None
        Address of a Tiled server; the API key is read from ``TILED_API_KEY``.
    tiled_container, raw_container : str
        Containers of the derived runs, and of the raw ones (where dark runs are looked
        for).
    quality : QualitySettings
        Thresholds of the flags, saturation value, names of the readbacks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str | None = None
    poni: Path | None = None
    mask: Path | None = None
    dark: Path | None = None
    reference: Path | None = None
    npt: int | None = Field(default=None, ge=64, le=2047)
    polarization: float | None = Field(default=0.99, ge=-1, le=1)
    split: Literal["no", "full"] = "no"
    dark_stream: str = "dark"
    data_roots: tuple[Path, ...] = (Path("/"),)
    max_frame_bytes: int = Field(default=1 << 29, gt=0)
    read_timeout_s: float = Field(default=3.0, ge=0, le=60)
    hold_s: float = Field(default=1.0, ge=0, le=60)
    max_pending_bytes: int = Field(default=1 << 30, gt=0)
    max_pending_documents: int = Field(default=20_000, gt=0)
    shed_labels_after_s: float = Field(default=2.0, ge=0)
    shed_frames_after_s: float = Field(default=10.0, ge=0)
    backfill_patience_s: float = Field(default=600.0, ge=0)
    abandon_after_s: float = Field(default=86_400.0, gt=0)
    classifier: Literal["auto", "onnx", "torch", "none"] = "auto"
    weights: Path | None = None
    device: str | None = None
    batch: int = Field(default=16, ge=1, le=64)
    batch_wait_ms: float = Field(default=4.0, ge=0, le=1000)
    prior: Literal["natural", "balanced"] = "natural"
    publish: str | None = None
    metrics: str | None = None
    paragraph: bool = True
    log: Literal["text", "json"] = "text"
    page: str | None = None
    documents_from: Literal["zmq", "tiled"] = "zmq"
    tiled_poll_s: float = Field(default=1.0, gt=0, le=60)
    documents: tuple[str, ...] = ()
    documents_prefix: str = ""
    documents_bind: bool = False
    documents_max_waiting_bytes: int = Field(default=1 << 28, ge=1 << 16)
    documents_high_water_mark: int = Field(default=100, ge=1, le=1_000_000)
    message_bytes: int = Field(default=1 << 28, ge=1 << 16, le=1 << 32)
    allow_remote: bool = False
    curve_key: Path | None = None
    curve_clients: Path | None = None
    curve_server: Path | None = None
    state: Path | None = None
    heads: Path | None = None
    spool_max_memory_bytes: int = Field(default=256 << 20, ge=1 << 20)
    spool_max_bytes: int = Field(default=64 << 30, ge=1 << 20)
    tiled: str | None = None
    tiled_container: str = "analysis"
    raw_container: str = "raw"
    quality: QualitySettings = QualitySettings()

    @property
    def heads_folder(self) -> Path | None:
        """Where what people taught is kept; None for nowhere."""
        return self.heads or (self.state and self.state / "heads")

    @field_validator("quality")
    @classmethod
    def _alarms_are_rare(cls, quality: QualitySettings) -> QualitySettings:
        """More than one in a second is no budget but a slip."""
        if not 0 < quality.false_alarms_per_hour <= _MOST_FALSE_ALARMS:
            raise ValueError(
                f"false_alarms_per_hour is {quality.false_alarms_per_hour:g}: give a "
                f"number above 0 and up to {_MOST_FALSE_ALARMS}, such as 0.1"
            )
        return quality

    @model_validator(mode="after")
    def _documents_come_from_one_place(self) -> Self:
        """Each frame would get two verdicts, or none."""
        if self.documents_from == "tiled" and not self.tiled:
            raise ValueError("documents_from is 'tiled': name the server with 'tiled'")
        if self.documents_from == "tiled" and self.documents:
            raise ValueError(
                "documents_from is 'tiled', but 'documents' names 0MQ addresses: leave "
                "out one of them"
            )
        return self

    @model_validator(mode="after")
    def _keys_are_whole(self) -> Self:
        """Half of what encryption needs would be none, without a word."""
        if self.curve_key is None:
            if self.curve_clients or self.curve_server:
                raise ValueError(
                    "curve_clients or curve_server without curve_key: name the own "
                    "secret key as well, or nothing is encrypted"
                )
            return self
        if self.publish and self.curve_clients is None:
            raise ValueError(
                "curve_key without curve_clients: name the folder with the public keys "
                "of those who may listen to publish"
            )
        peers = self.curve_clients if self.documents_bind else self.curve_server
        if self.documents and peers is None:
            needed = "curve_clients" if self.documents_bind else "curve_server"
            raise ValueError(
                f"curve_key without {needed}: say whose documents are to be received"
            )
        return self
