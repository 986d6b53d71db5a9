"""What runs the networks: ONNX Runtime on a CPU, torch on a GPU."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ringwatch.models.inputs import Float
from ringwatch.models.weight_files import WeightsError, WeightsFile

if TYPE_CHECKING:
    from ringwatch.models.head_kernels import Head

__all__ = ["Engine", "has_gpu", "onnx_engine", "torch_engine"]


_ON_A_GPU = 64  # patterns of a batch


class Engine(Protocol):
    """Network inputs (B, 3, n_bins) to logits (B, 230) and hidden layer (B, h).

    All float32. Of several networks the logits are averaged and the hidden layers
    stand side by side.
    """

    def __call__(self, x: Float) -> tuple[Float, Float]:
        """Run one batch."""
        ...


def has_gpu() -> bool:
    """Whether torch can use an NVIDIA GPU; torch is asked only where a driver is."""
    if not Path("/dev/nvidiactl").exists():
        return False
    import torch  # noqa: PLC0415 - seconds that a machine without a GPU need not pay

    return torch.cuda.is_available()


def onnx_engine(weights: WeightsFile) -> Engine:
    """ONNX Runtime on one thread: the agent has its own processes for more.

    It does the convolutions; ``Head`` does the dense layers, one pattern after the
    other, so that a pattern has the same bits whichever come with it.
    """
    # It reports its use to its maker else, over HTTPS; a beamline asked for none of it.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # noqa: PLC0415 - not needed beside torch

    from ringwatch.models.head_kernels import Head  # noqa: PLC0415
    from ringwatch.models.onnx_graph import build_map_graph  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    refused = onnxruntime.capi.onnxruntime_pybind11_state
    members = weights.members()
    try:
        heads = [Head(config, tensors) for config, tensors in members]
        session = onnxruntime.InferenceSession(
            build_map_graph(members).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )
    except (ValueError, IndexError, refused.Fail, refused.InvalidGraph) as error:
        raise WeightsError(f"no network as the card has it: {error}") from error

    def run(x: Float) -> tuple[Float, Float]:
        return _by_heads(heads, session.run(None, {"pattern": x}), len(x))

    return run


def _by_heads(
    heads: Sequence[Head], maps: Sequence[Float], patterns: int
) -> tuple[Float, Float]:
    """Logits, averaged over the networks, and their hidden layers side by side."""
    logits, hidden = [], []
    for n in range(patterns):
        found = [head(each[n]) for head, each in zip(heads, maps, strict=True)]
        logits.append(np.mean([one for one, _ in found], axis=0, dtype=np.float32))
        hidden.append(np.concatenate([layer for _, layer in found]))
    return np.stack(logits), np.stack(hidden)


def torch_engine(
    weights: WeightsFile, device: str | None = None, together: int | None = None
) -> Engine:
    """Run in torch, in plain single precision.

    Parameters
    ----------
    weights : WeightsFile
    device : str, optional
        As torch names it; by default a GPU where there is one.
    together : int, optional
        Size to which smaller batches are filled up: the libraries choose how to add by
        the size of a batch, so a pattern has the same bits only in batches of one size.
        By default 64 on a GPU, and none on a CPU, where each row would cost.

    Raises
    ------
    WeightsError
        If the card does not fit the weights.
    """
    import torch  # noqa: PLC0415 - only where it runs

    from ringwatch.models.network import Network  # noqa: PLC0415

    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    together = together or (_ON_A_GPU if place.type == "cuda" else 1)
    members = []
    for config, tensors in weights.members():
        network = Network(config)
        try:
            network.load_learned({n: torch.from_numpy(v) for n, v in tensors.items()})
        except ValueError as error:
            raise WeightsError(f"no network as the card has it: {error}") from error
        network.to(place).eval()
        # Without its last layer the network gives the layer before.
        last = network.logits
        network.logits = torch.nn.Identity()  # type: ignore[assignment]
        members.append((network, last))

    turn = threading.Lock()

    def run(x: Float) -> tuple[Float, Float]:
        # TF32 would round what the calibration was made with. The flags are the whole
        # process's: threads take turns, or one would end another's.
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        size = -(-len(x) // together) * together
        with turn, torch.inference_mode(), exact:
            pattern = torch.zeros((size, *x.shape[1:]), device=place)
            pattern[: len(x)] = torch.from_numpy(x).to(place)
            logits, hidden = [], []
            for batch in torch.split(pattern, together if together > 1 else size):
                last_layers = [network(batch) for network, _ in members]
                found = [
                    last(layer)
                    for (_, last), layer in zip(members, last_layers, strict=True)
                ]
                logits.append(torch.stack(found).mean(dim=0))
                hidden.append(torch.cat(last_layers, dim=1))
            return (
                torch.cat(logits)[: len(x)].cpu().numpy(),
                torch.cat(hidden)[: len(x)].cpu().numpy(),
            )

    return run
