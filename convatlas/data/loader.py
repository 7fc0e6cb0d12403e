"""Batches of bytes, channels last, in an order that depends on nothing but (seed, epoch).

Small sets lie whole on the device and a batch is one index_select. Photos are decoded by threads (libjpeg-turbo and
the resize release the GIL), a few batches ahead. The same batches come out for any number of workers.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convatlas.data.augmentation import Augmentation
from convatlas.data.decode import Box, crop_resize, decode_crop, decode_whole, exact_pixels
from convatlas.data.geometry import training_box
from convatlas.data.images import ImageError, read_image
from convatlas.data.memory import Store, store_of
from convatlas.data.pixels import crop_pixels
from convatlas.data.randomness import Draws, epoch_order
from convatlas.data.sets import Dataset, FileSet, TensorSet
from convatlas.data.threads import core_pool
from convatlas.define.preprocessing import Preprocessing
from convatlas.errors import MisuseError

_CHUNK = 8  # samples a task: a future costs as much as a tenth of a decode
_AHEAD = 3  # batches in the making while one is used


class Batch(NamedTuple):
    """images: uint8 (N, C, H, W), channels last; labels: int64 (N,); indices: int64 (N,) into the set."""

    images: Tensor
    labels: Tensor
    indices: Tensor


class Loader:
    """Iterate over a set in batches; see `epoch`.

    size: side of the input, or (height, width); None keeps what a TensorSet has. channels: 1 or 3, None as the set.
    train: shuffle, drop the last partial batch, take crops as `augmentation` says; otherwise in order, whole, with
    the exact arithmetic of `preprocessing`. shard: (rank, world) of distributed training; the batch_size is this
    rank's, and the joint batches are those of one process with batch_size * world.
    A picture that cannot be read is left out of its batch and listed in `skipped`. Decoded photos are kept in memory
    for the next epoch while there is room (`convatlas.data.memory`); hold_bytes: the room, 0 for none.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        size: int | tuple[int, int] | None = None,
        train: bool = False,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        *,
        channels: int | None = None,
        preprocessing: Preprocessing | None = None,
        device: torch.device | str = "cpu",
        workers: int | None = None,
        shard: tuple[int, int] = (0, 1),
        drop_last: bool | None = None,
        hold_bytes: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise MisuseError(f"batch size must be at least 1, received {batch_size}")
        self.dataset, self.batch_size, self.train, self.seed = dataset, batch_size, train, seed
        self.augmentation = augmentation or Augmentation()
        self.device = torch.device(device)
        self.workers = max(1, workers if workers is not None else min(16, os.cpu_count() or 1))
        self.rank, self.world = shard
        self.size = (size, size) if isinstance(size, int) else size
        self.skipped: list[tuple[str, str]] = []
        self._skipped: set[int] = set()
        joint = batch_size * self.world
        whole = len(dataset) // joint
        self.drop_last = (train and whole > 0) if drop_last is None else drop_last
        self._batches = whole if self.drop_last else -(-len(dataset) // joint)
        if isinstance(dataset, TensorSet):
            self.channels = channels or dataset.images.shape[1]
            self.size = self.size or (dataset.images.shape[2], dataset.images.shape[3])
            self._resident = _resident(dataset, self.size, self.channels, self.device)
            self._labels = dataset.labels.to(self.device)
        else:
            self.channels = channels or 3
            if self.size is None:
                if preprocessing is None or preprocessing.crop is None:
                    raise MisuseError("a loader of photos needs the size of the input")
                self.size = (
                    preprocessing.crop if isinstance(preprocessing.crop, tuple) else (preprocessing.crop,) * 2
                )
            self.preprocessing = preprocessing or Preprocessing().with_size(*self.size)
            self._buffers: list[np.ndarray] = []
            self._store = store_of(dataset, 1 / self.world) if hold_bytes is None else Store(hold_bytes)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._batches

    def order(self, epoch: int) -> Tensor:
        """Indices of the joint epoch, all ranks together."""
        if not self.train:
            return torch.arange(len(self.dataset))
        return epoch_order(len(self.dataset), self.seed, epoch)

    def epoch(self, epoch: int = 0, start_batch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, labels) from batch `start_batch` on: exactly those of the uninterrupted epoch."""
        for batch in self.batches(epoch, start_batch):
            yield batch.images, batch.labels

    def batches(self, epoch: int = 0, start_batch: int = 0) -> Iterator[Batch]:
        """As `epoch`, with the indices of the samples."""
        order = self.order(epoch)
        joint = self.batch_size * self.world
        parts = [
            order[b * joint : (b + 1) * joint][
                self.rank * self.batch_size : (self.rank + 1) * self.batch_size
            ]
            for b in range(start_batch, self._batches)
        ]
        return (
            self._from_memory(parts)
            if isinstance(self.dataset, TensorSet)
            else self._from_files(parts, epoch)
        )

    def _from_memory(self, parts: list[Tensor]) -> Iterator[Batch]:
        # the order goes to the device in one piece: a copy a batch would make a fast loop wait
        there = torch.cat(parts).to(self.device).split([len(p) for p in parts]) if parts else ()
        for indices, chosen in zip(parts, there, strict=True):
            images = self._resident.index_select(0, chosen).permute(0, 3, 1, 2)
            if images.shape[2:] != self.size:
                images = F.interpolate(images, size=self.size, mode="bilinear", antialias=True)
                images = images.contiguous(memory_format=torch.channels_last)
            yield Batch(images, self._labels.index_select(0, chosen), indices)

    def _from_files(self, parts: list[Tensor], epoch: int) -> Iterator[Batch]:
        assert isinstance(self.dataset, FileSet)
        pool = core_pool(self.workers, "decode")
        pending: deque[tuple[Tensor, np.ndarray, list[Future[list[bool]]]]] = deque()
        waiting = iter(parts)
        try:
            while True:
                while len(pending) < _AHEAD and (indices := next(waiting, None)) is not None:
                    buffer = self._buffer(len(indices))
                    starts = range(0, len(indices), _CHUNK)
                    tasks = [pool.submit(self._fill, buffer, indices, s, epoch) for s in starts]
                    pending.append((indices, buffer, tasks))
                if not pending:
                    return
                indices, buffer, tasks = pending.popleft()
                good = [ok for task in tasks for ok in task.result()]
                yield self._batch(indices, buffer, good)
                del buffer
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _batch(self, indices: Tensor, buffer: np.ndarray, good: list[bool]) -> Batch:
        images = torch.from_numpy(buffer)[: len(indices)]
        if not all(good):
            kept = torch.tensor(good)
            images, indices = images[kept], indices[kept]
        labels = self.dataset.labels[indices]
        if self.device.type != "cpu":
            images = (
                images.pin_memory().to(self.device, non_blocking=True)
                if self.device.type == "cuda"
                else images
            )
            images, labels = images.to(self.device), labels.to(self.device)
        return Batch(images.permute(0, 3, 1, 2), labels, indices)

    def _buffer(self, count: int) -> np.ndarray:
        """Memory for a batch. One whose tensors are gone is used again: fresh pages cost more than a copy."""
        assert self.size is not None
        for i in range(len(self._buffers)):
            # the list and this call's argument: nobody else holds it
            if sys.getrefcount(self._buffers[i]) == 2 and len(self._buffers[i]) >= count:
                return self._buffers[i]
        fresh = np.empty((max(count, self.batch_size), *self.size, self.channels), np.uint8)
        self._buffers = [*self._buffers[-_AHEAD - 1 :], fresh]
        return fresh

    def _fill(self, buffer: np.ndarray, indices: Tensor, start: int, epoch: int) -> list[bool]:
        """Decode some samples into their rows of the batch; which of them could be read."""
        good = []
        for row, index in enumerate(indices[start : start + _CHUNK].tolist(), start):
            try:
                self._sample(buffer[row], index, epoch)
            except ImageError as error:
                if index not in self._skipped:
                    self._skipped.add(index)
                    self.skipped.append((error.path, error.reason))
                good.append(False)
            else:
                good.append(True)
        return good

    def _sample(self, row: np.ndarray, index: int, epoch: int) -> None:
        """One picture into its row of the batch; what is held is decoded once."""
        assert isinstance(self.dataset, FileSet)
        assert self.size is not None
        size = self.size
        if self.train:
            key: tuple[object, ...] = (index, self.channels)
            pixels = self._store.get(key)
            draws = Draws(self.seed, epoch, index)

            def plan(width: int, height: int) -> Box:
                return training_box(width, height, size, self.augmentation, draws)

            if pixels is None:
                data, name = self.dataset.read(index), self.dataset.label_of(index)
                if not self._store.room or (pixels := decode_whole(data, name, self.channels)) is None:
                    decode_crop(data, plan, row, name)
                    return
                self._store.keep(key, pixels)
            crop_resize(pixels, plan(pixels.shape[1], pixels.shape[0]), row)
            return
        key = (index, self.channels, self.preprocessing)
        pixels = self._store.get(key)
        if pixels is None:
            data, name = self.dataset.read(index), self.dataset.label_of(index)
            if self.channels == 3:
                pixels = exact_pixels(data, name, self.preprocessing)
            else:
                pixels = crop_pixels(read_image(data, name).convert("L"), self.preprocessing)
                pixels = pixels.reshape(row.shape)
            self._store.keep(key, pixels)
        row[:] = pixels


def _resident(dataset: TensorSet, size: tuple[int, int], channels: int, device: torch.device) -> Tensor:
    """The whole set (N, H, W, C) on the device, padded where the input is a little larger (28 to 32, as LeNet-5)."""
    images = dataset.images
    if images.shape[1] != channels:
        images = _to_channels(images, channels)
    rows, columns = size[0] - images.shape[2], size[1] - images.shape[3]
    small = images.shape[2] * 8 >= size[0] * 7 and images.shape[3] * 8 >= size[1] * 7
    if rows >= 0 and columns >= 0 and rows + columns > 0 and small:
        images = F.pad(images, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    return images.permute(0, 2, 3, 1).contiguous().to(device)


def _to_channels(images: Tensor, channels: int) -> Tensor:
    if images.shape[1] == 1 and channels == 3:
        return images.expand(-1, 3, -1, -1)
    if images.shape[1] == 3 and channels == 1:  # ITU-R 601 luma, as Pillow's "L"
        weights = torch.tensor([299, 587, 114], dtype=torch.int32).view(1, 3, 1, 1)
        return ((images.to(torch.int32) * weights).sum(1, keepdim=True) / 1000).round().to(torch.uint8)
    raise MisuseError(
        f"images have {images.shape[1]} channels, the network takes {channels}; only 1 and 3 convert"
    )
