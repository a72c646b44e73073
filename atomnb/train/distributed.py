"""Several processes training one network: each draws its own batches, gradients are averaged, the first one writes."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from atomnb.errors import AtomnbError


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    rank : number of this process, from 0
    world : how many there are
    device : what this process computes on, for example 'cuda:1'
    """

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def distribute(self, net: nn.Module) -> nn.Module:
        """`net` with gradients averaged over the processes; batch statistics stay each process' own."""
        if self.world == 1:
            return net
        on_gpu = torch.device(self.device).type == "cuda"
        return nn.parallel.DistributedDataParallel(net, device_ids=[torch.device(self.device)] if on_gpu else None)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Mean of a scalar tensor over the processes."""
        if self.world > 1:
            dist.all_reduce(value)
            value /= self.world
        return value

    def from_first(self, value: float) -> float:
        """The number that the first process passes, in all processes."""
        if self.world == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, src=0)
        return float(shared)


def join_processes(device: str = "cpu") -> Processes:
    """Meet the processes that `torchrun` started beside this one; alone when it was started without.

    Parameters
    ----------
    device : 'cpu', or 'cuda' for one GPU per process

    Examples
    --------
    `torchrun --standalone --nproc-per-node 4 -m atomnb.train universal --folder runs/mine` starts four.
    """
    if "WORLD_SIZE" not in os.environ:
        return Processes(device=device)
    rank, world, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise AtomnbError(
                f"process {local} of this machine has no GPU of its own ({torch.cuda.device_count()} here): start "
                "torchrun with --nproc-per-node set to the number of GPUs."
            )
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return Processes(rank, world, device)


def leave_processes() -> None:
    """Part from the other processes; nothing happens when there are none."""
    if dist.is_initialized():
        dist.destroy_process_group()
