"""Several training processes as one: what ``torchrun`` started, or just this one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["Processes", "join_processes"]


@dataclass(frozen=True)
class Processes:
    """Which process of a run it is.

    Attributes
    ----------
    rank, size : int
        Number of this process, and how many there are.
    device : torch.device
        Where this process trains: a GPU of its own where there is one, else the CPU.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def mean(self, parameters: Iterable[nn.Parameter], numbers: list[float]) -> None:
        """Average gradients, and a few numbers, over the processes, in place.

        One message a step: the numbers ride with the gradients.
        """
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        extra = torch.tensor(numbers, dtype=torch.float32, device=self.device)
        flat = torch.cat([*(g.reshape(-1) for g in gradients), extra])
        dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for gradient in gradients:
            end = start + gradient.numel()
            gradient.copy_(flat[start:end].view_as(gradient))
            start = end
        numbers[:] = flat[start:].tolist()

    def mean_of(self, tensors: Iterable[Tensor]) -> None:
        """Average tensors over the processes, in place."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)
                tensor.div_(self.size)

    def leave(self) -> None:
        """Wait for the others and part: who leaves early tears their last message."""
        if self.size > 1 and dist.is_initialized():
            dist.barrier()
            dist.destroy_process_group()


def join_processes() -> Processes:
    """Join the processes that ``torchrun`` started; alone, if it started none.

    Each takes one thread on a CPU, where torch's own threads lose against processes.
    """
    rank = int(os.environ.get("RANK", "0"))
    size = int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", "0"))
        device = torch.device("cuda", local % torch.cuda.device_count())
        torch.cuda.set_device(device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes(rank, size, device)
