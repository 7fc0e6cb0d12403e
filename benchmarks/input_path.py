"""Images per second of the input path: random resized crop to 224, flip, normalize, in batches of 64.

    python benchmarks/input_path.py PHOTOS... [--workers 2] [--rounds 7] [--images 500] [--json | --report]

PHOTOS are folders of JPEGs (any depth). All sides read the same files with the same number of workers, take turns in
one process, and are reported as the median over the rounds with the spread, in images a second of wall time and in
milliseconds of CPU time an image (all threads and workers), which another job on the machine disturbs less. Sides:

    plain      Pillow, crop, flip and normalization a sample, torch.utils.data.DataLoader with worker processes
    ours       convatlas Loader (threads), then flip and normalization of the whole batch on the CPU: the same output
    bytes      convatlas Loader alone: uint8 batches, as a GPU takes them
    processes  the decoding of `ours` in a DataLoader with worker processes: why the loader has threads
    decode     libjpeg-turbo alone, whole pictures, the fast DCT and upsampling of `ours`, nothing kept
    held       `bytes` when the decoded set is held in memory, from the second epoch on
    packed     `ours` from shards of `convatlas data pack`, short side 256: what each epoch costs once a set is packed
    raw        the same from shards of `convatlas data pack --format ppm`: larger, and nothing to decode
    raw-cold   `raw` with the shards out of the page cache before each turn, so that the disk is read (Linux)
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from training_common import report

from convatlas.data import Augmentation, FileSet, Loader, batch_generator, open_data
from convatlas.data.augment import augment
from convatlas.data.decode import decode_crop
from convatlas.data.geometry import training_box
from convatlas.data.jpeg import read_frame
from convatlas.data.pack import pack
from convatlas.data.randomness import Draws
from convatlas.data.readers.folders import pictures_in
from convatlas.define.preprocessing import NAMED

SIZE, BATCH = 224, 64
MEAN, STD = (torch.tensor(NAMED["torchvision"].mean), torch.tensor(NAMED["torchvision"].std))
CROP = Augmentation(crop="resized", flip=0.5)


class Plain(TorchDataset):
    """What the usual training script does a sample: torchvision's transforms, written out."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with self.paths[index].open("rb") as file:
            image = Image.open(file).convert("RGB")
        left, top, width, height = self._box(*image.size)
        image = image.crop((left, top, left + width, top + height)).resize(
            (SIZE, SIZE), Image.Resampling.BILINEAR
        )
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        values = pixels.to(torch.float32).div(255)
        return values.sub_(MEAN.view(3, 1, 1)).div_(STD.view(3, 1, 1)), 0

    @staticmethod
    def _box(width: int, height: int) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = width * height * random.uniform(0.08, 1.0)
            ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return random.randint(0, width - w), random.randint(0, height - h), w, h
        return 0, 0, width, height


class OurDecoding(TorchDataset):
    """The sample of our loader, for worker processes."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        draws = Draws(0, 0, index)
        data = self.paths[index].read_bytes()
        pixels = np.empty((SIZE, SIZE, 3), np.uint8)
        decode_crop(data, lambda w, h: training_box(w, h, (SIZE, SIZE), CROP, draws), pixels, "")
        return torch.from_numpy(pixels), 0


def packed_set(paths: list[Path], folder: Path, quality: int | None) -> FileSet:
    """As many reads of the photos as `convatlas data pack` writes them, by way of a list."""
    folder.mkdir()
    listed = folder / "photos.txt"
    listed.write_text(
        "".join(f"{p.resolve()} {i % 2}\n" for i, p in enumerate(dict.fromkeys(paths))), encoding="utf-8"
    )
    pack(open_data(str(listed), test_share=0.01), folder / "shards", quality=quality)
    found = open_data(str(folder / "shards")).whole()
    assert isinstance(found, FileSet)
    return found.subset([i % len(found) for i in range(len(paths))])


def sides(paths: list[Path], workers: int, folder: Path) -> dict[str, Callable[[], object]]:
    """A function a side that goes once through all photos; `folder` may be written to."""
    options = {"batch_size": BATCH, "shuffle": True, "num_workers": workers, "persistent_workers": True}
    plain, processes = DataLoader(Plain(paths), **options), DataLoader(OurDecoding(paths), **options)
    files = FileSet(tuple(paths), torch.zeros(len(paths), dtype=torch.int64), ("photo",))
    loaders = {
        name: Loader(files, BATCH, SIZE, True, CROP, workers=workers, drop_last=False, hold_bytes=hold)
        for name, hold in (("streamed", 0), ("held", 1 << 34))
    }

    @cache
    def of_shards(name: str) -> Loader:
        shards = packed_set(paths, folder / name, {"packed": 90, "raw": None}[name])
        return Loader(shards, BATCH, SIZE, True, CROP, workers=workers, drop_last=False, hold_bytes=0)

    out: list[torch.Tensor] = []
    epochs = iter(range(1 << 30))

    def ours(loader: Loader = loaders["streamed"]) -> None:
        epoch = next(epochs)
        for number, (images, labels) in enumerate(loader.epoch(epoch)):
            if not out or len(out[0]) < len(images):
                out[:] = [torch.empty(images.shape).contiguous(memory_format=torch.channels_last)]
            generator = batch_generator(0, epoch, number)
            augment(images, labels, CROP, generator, NAMED["torchvision"], out=out[0][: len(images)])

    def decode(path: Path) -> None:
        simplejpeg.decode_jpeg(path.read_bytes(), fastdct=True, fastupsample=True)

    def decode_all() -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda some: [decode(p) for p in some], [paths[i::64] for i in range(64)]))

    return {
        "plain": lambda: drain(iter(plain)),
        "ours": ours,
        "bytes": lambda: drain(loaders["streamed"].epoch(next(epochs))),
        "processes": lambda: drain(iter(processes)),
        "decode": decode_all,
        "held": lambda: drain(loaders["held"].epoch(next(epochs))),
        "packed": lambda: ours(of_shards("packed")),
        "raw": lambda: ours(of_shards("raw")),
        "raw-cold": lambda: (forget(of_shards("raw")), ours(of_shards("raw"))),
    }


def forget(loader: Loader) -> None:
    """Let the kernel drop a set's shards from its page cache."""
    assert isinstance(loader.dataset, FileSet)
    for shard in set(loader.dataset.paths):
        with shard.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cpu_seconds() -> float:
    """CPU time of this process and of its living workers: what a busy machine does not change much."""
    ticks = 0
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def drain(batches: Iterator[object]) -> None:
    for _ in batches:
        pass


def take_turns(
    chosen: dict[str, Callable[[], object]],
    rounds: int,
    photos: int,
    rates: dict[str, list[float]],
    costs: dict[str, list[float]],
) -> None:
    """Run each side once a round, and note its images a second and its CPU milliseconds an image."""
    for turn in range(rounds + 1):
        for name, run in chosen.items():
            start, before = time.perf_counter(), cpu_seconds()
            run()
            if turn:  # the first starts processes, fills the page cache and the held set
                rates[name].append(photos / (time.perf_counter() - start))
                costs[name].append(1e3 * (cpu_seconds() - before) / photos)


def measure(folder: Path, args: argparse.Namespace) -> dict[str, object]:
    """All sides in turns over one folder."""
    found = sorted(p for p in pictures_in(folder) if p.suffix.lower() in (".jpg", ".jpeg"))
    paths = [found[i % len(found)] for i in range(args.images)]
    rates: dict[str, list[float]] = {name: [] for name in args.sides.split(",")}
    costs: dict[str, list[float]] = {name: [] for name in rates}
    with tempfile.TemporaryDirectory() as temporary:
        all_sides = sides(paths, args.workers, Path(temporary))
        take_turns({name: all_sides[name] for name in rates}, args.rounds, len(paths), rates, costs)
    sizes = [(f.width, f.height) for p in found if (f := read_frame(p.read_bytes())) is not None]
    side = [statistics.median(s[i] for s in sizes) for i in (0, 1)]
    size = sum(p.stat().st_size for p in found) / len(found)
    return {
        "where": f"{folder.name}: {len(paths)} reads of {len(found)} JPEGs, median {side[0]:.0f}x{side[1]:.0f}, "
        f"mean {size / 1e3:.0f} kB; {args.workers} workers",
        "sides": {
            name: {
                "median": statistics.median(r), "low": min(r), "high": max(r), "n": len(r),
                "cpu_ms": statistics.median(costs[name]), "rates": r, "costs": costs[name],
            }
            for name, r in rates.items()
        },
    }  # fmt: skip


def table(sides: dict[str, dict[str, object]]) -> list[str]:
    """A row a side; ratios are of the same turn, so that a slow minute of the machine falls on both."""
    lines = [
        "| side | images/s, median [range] | of plain | of decode | CPU ms an image | of plain | of decode |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]

    def ratio(name: str, other: str, key: str) -> str:
        if other not in sides:
            return ""
        pairs = zip(sides[name][key], sides[other][key], strict=True)  # type: ignore[call-overload]
        found = [b / a if key == "costs" else a / b for a, b in pairs]
        return f"{statistics.median(found):.2f} [{min(found):.2f}-{max(found):.2f}]"

    for name, r in sides.items():
        cells = [
            f"{r['median']:.0f} [{r['low']:.0f}-{r['high']:.0f}]",
            *(ratio(name, o, "rates") for o in ("plain", "decode")),
        ]
        cells += [f"{r['cpu_ms']:.2f}", *(ratio(name, o, "costs") for o in ("plain", "decode"))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=500)
    usual = "plain,ours,bytes,processes,decode,held,packed,raw"
    parser.add_argument("--sides", default=usual, help=f"{usual} (the default), raw-cold")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--report", action="store_true", help="write benchmarks/reports/DATE-input-path.md")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the workers have the cores; OpenMP would wait for them, spinning
    found = [measure(folder, args) for folder in args.photos]
    if args.json:
        print(json.dumps(found))
        return
    lines = ["Protocol: the docstring of `benchmarks/input_path.py`. Ratios are of the same turn.", ""]
    for one in found:
        lines += [f"## {one['where']}", "", *table(one["sides"]), ""]  # type: ignore[arg-type]
    if args.report:
        report("input-path", "Images per second of the input path", lines)
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
