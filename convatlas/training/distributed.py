"""One of several workers: what torchrun says, and the little that the loop needs of it.

Under torchrun `convatlas train` joins the group by itself: gloo on CPUs, nccl on GPUs. Worker 0 writes and talks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from convatlas.errors import MisuseError
from convatlas.modules.device import pick_device
from convatlas.training.plan import drops


@dataclass(frozen=True)
class Worker:
    """rank of world workers, and the device that is this one's."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this one writes and talks."""
        return self.rank == 0


def told(name: str, otherwise: int) -> int:
    """A number that torchrun gives its workers; MisuseError where something else stands there."""
    text = os.environ.get(name, str(otherwise))
    if not (text.isascii() and text.isdecimal()):
        raise MisuseError(
            f"the environment variable {name} should be a whole number, received {text!r}; torchrun sets it, and a run "
            "of one worker does without"
        )
    return int(text)


@contextmanager
def joined(device: str = "auto") -> Iterator[Worker]:
    """Join torchrun's group where there is one; alone otherwise. The group ends with the block."""
    world = told("WORLD_SIZE", 1)
    found = pick_device(device)
    if world == 1 or dist.is_initialized():
        yield (
            Worker(dist.get_rank(), dist.get_world_size(), found)
            if dist.is_initialized()
            else Worker(0, 1, found)
        )
        return
    if found.type == "cuda":
        torch.cuda.set_device(found)
    _join("nccl" if found.type == "cuda" else "gloo", world)
    try:
        yield Worker(dist.get_rank(), dist.get_world_size(), found)
    finally:
        dist.destroy_process_group()


def _join(backend: str, world: int) -> None:
    """Join the group; after a restart, under keys of its own.

    torchrun's agent may keep its store over a restart, and with it the addresses of workers that are gone. On one
    machine the number of the attempt is the same for all workers, and tells the attempts apart.
    """
    if os.environ.get("LOCAL_WORLD_SIZE") != str(world):
        dist.init_process_group(backend)
        return
    store, rank, _ = next(dist.rendezvous("env://"))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    dist.init_process_group(
        backend, store=dist.PrefixStore(f"attempt-{attempt}", store), rank=rank, world_size=world
    )


def agree(worker: Worker, value: object) -> object:
    """What worker 0 says, to all."""
    if worker.world == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def any_of(worker: Worker, flag: bool) -> bool:
    """Whether one of the workers says yes."""
    if worker.world == 1:
        return flag
    told = torch.tensor(int(flag), device=worker.device)
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return bool(told)


def summed(worker: Worker, sums: Tensor) -> Tensor:
    """The sum over workers."""
    if worker.world > 1:
        dist.all_reduce(sums)
    return sums


def mean_of(worker: Worker, value: float) -> float:
    """The mean over workers."""
    if worker.world == 1:
        return value
    return float(summed(worker, torch.tensor(float(value), device=worker.device))) / worker.world


def same(worker: Worker, values: Iterable[Tensor]) -> None:
    """Give all workers the values of worker 0."""
    if worker.world > 1:
        for tensor in values:
            dist.broadcast(tensor, src=0)


def wrap(task: nn.Module, worker: Worker) -> nn.Module:
    """DistributedDataParallel around a task, where there are several workers."""
    if worker.world == 1:
        return task
    ids = [worker.device.index] if worker.device.type == "cuda" else None
    # a block that one worker drops has no gradient there, and the others would wait for it
    return nn.parallel.DistributedDataParallel(
        task, device_ids=ids, gradient_as_bucket_view=True, find_unused_parameters=drops(task)
    )
