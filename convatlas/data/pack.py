"""A folder of photos to tar shards: resized once, read fast ever after, whole shards only, resumable.

The shards are WebDataset's (KEY.jpg or KEY.ppm beside KEY.cls) and the same bytes whenever made anew. `index.json`
carries the classes and each shard's sha256; a shard under its own name is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from convatlas.data.images import ImageError, read_image
from convatlas.data.pixels import resized
from convatlas.data.ppm import ppm_bytes
from convatlas.data.randomness import epoch_order
from convatlas.data.readers.shard_index import INDEX
from convatlas.data.sets import FileSet
from convatlas.data.sources import DataSource
from convatlas.errors import ConvAtlasError, MisuseError

Progress = Callable[[int, int], None]
_J = TypeVar("_J")
_M = TypeVar("_M")
# pictures that are made before the one that is written: enough for all threads
AHEAD = 64


@dataclass(frozen=True)
class Packed:
    """What `pack` wrote."""

    out: Path
    shards: int
    pictures: int
    bytes: int
    skipped: list[tuple[str, str]]
    resumed: int  # shards that were there already


def pack(
    source: DataSource,
    out: Path,
    *,
    size: int = 256,
    quality: int | None = 90,
    per_shard: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Packed:
    """Write train-NNNNNN.tar and val-NNNNNN.tar of `source` into `out`.

    size: the short side is made this, where it is longer; a JPEG that needs no change keeps its bytes. quality: of the
    JPEGs; None writes PPMs, pixels as they are, some eight times the space and read without decoding. Pictures are
    shuffled by `seed`, so that a shard is a fair sample. Stopped and started again, it goes on after the last whole
    shard; MisuseError where `out` holds shards of other data or options.
    """
    parts = {"train": source.train, "val": source.test}
    if not all(isinstance(p, FileSet) for p in parts.values()):
        raise MisuseError(f"{source.name}: lies in memory as it is; only sets of picture files are packed")
    out.mkdir(parents=True, exist_ok=True)
    plan = {
        "data": source.record()["fingerprint"],
        "size": size,
        "quality": quality,
        "per_shard": per_shard,
        "seed": seed,
    }
    index = _index(out, plan, source.classes)
    shards: dict[str, dict[str, object]] = index["shards"]  # type: ignore[assignment]
    total, done, resumed = sum(map(len, parts.values())), 0, 0
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for part, dataset in parts.items():
            assert isinstance(dataset, FileSet)
            order = epoch_order(len(dataset), seed, 0).tolist()
            for number, start in enumerate(range(0, len(order), per_shard)):
                name = f"{part}-{number:06}.tar"
                chosen = order[start : start + per_shard]
                entry = shards.get(name)
                if entry is not None and _length(out / name) == entry["bytes"]:
                    resumed += 1
                else:
                    jobs = [
                        (dataset, i, f"{part}-{start + n:08}", size, quality) for n, i in enumerate(chosen)
                    ]
                    with contextlib.closing(in_order(pool, _entry, jobs)) as made:
                        shards[name] = _write(out / name, made)
                    _save(out, index)
                done += len(chosen)
                if progress:
                    progress(done, total)
    index["complete"] = True
    _save(out, index)
    skipped = [(str(p), str(r)) for entry in shards.values() for p, r in entry["skipped"]]  # type: ignore[attr-defined]
    pictures, size_in_bytes = (sum(int(str(e[k])) for e in shards.values()) for k in ("pictures", "bytes"))
    return Packed(out, len(shards), pictures, size_in_bytes, skipped, resumed)


def _index(out: Path, plan: dict[str, object], classes: tuple[str, ...]) -> dict[str, object]:
    path = out / INDEX
    fresh: dict[str, object] = {"classes": list(classes), "plan": plan, "complete": False, "shards": {}}
    if not path.is_file():
        if any(out.glob("*.tar")):
            raise MisuseError(f"{out}: there are tar shards of something else; give another folder")
        return fresh
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConvAtlasError(f"{path}: not JSON ({error}); remove {out} and pack again") from error
    if not isinstance(index, dict) or index.get("plan") != plan:
        raise MisuseError(
            f"{out}: holds shards of other data or made with other options; give another folder"
        )
    return index


Job = tuple[FileSet, int, str, int, int | None]
Made = tuple[str, bytes, int, tuple[str, str] | None]


def _entry(job: Job) -> Made:
    """(name, bytes of the picture, label, what is wrong with it or None)."""
    dataset, index, key, size, quality = job
    label = int(dataset.labels[index])
    try:
        data = dataset.read(index)
        image = read_image(data, dataset.label_of(index))
    except ImageError as error:
        return key, b"", label, (error.path, error.reason)
    small = min(image.size) <= size
    if small and quality is not None and data[:2] == b"\xff\xd8" and _plain(data):
        return f"{key}.jpg", data, label, None
    if not small:
        image = image.resize(resized(image.size, size), Image.Resampling.BICUBIC)
    if quality is None:
        pixels = ppm_bytes(image)
        # lengths tell JPEGs of a changed set apart (`FileSet.fingerprint`); those of pixels are all alike
        return f"{key}-{hashlib.sha256(pixels).hexdigest()[:8]}.ppm", pixels, label, None
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return f"{key}.jpg", buffer.getvalue(), label, None


def _plain(data: bytes) -> bool:
    """A JPEG in RGB or grey that stands upright."""
    with Image.open(io.BytesIO(data)) as image:
        return image.mode in ("RGB", "L") and image.getexif().get(0x0112, 1) == 1


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[_J], _M], jobs: Iterable[_J]
) -> Generator[_M, None, None]:
    """What `pool.map` gives, but no more than a few made ahead: a shard of pixels may be gigabytes."""
    pending: deque[Future[_M]] = deque()
    try:
        for job in jobs:
            pending.append(pool.submit(work, job))
            if len(pending) > AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:  # stopped, or one failed: the others need not be made
        for one in pending:
            one.cancel()


def _write(path: Path, made: Iterable[Made]) -> dict[str, object]:
    part = path.with_name(path.name + ".part")
    pictures, skipped = 0, []
    try:
        with part.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                for picture, data, label, wrong in made:
                    if wrong is not None:
                        skipped.append(list(wrong))
                    else:
                        pictures += 1
                        key = picture.rpartition(".")[0]
                        for name, content in ((picture, data), (f"{key}.cls", str(label).encode())):
                            entry = tarfile.TarInfo(name)  # no time, no owner: the same bytes every time
                            entry.size = len(content)
                            archive.addfile(entry, io.BytesIO(content))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    length = part.stat().st_size
    part.replace(path)
    return {"sha256": digest, "bytes": length, "pictures": pictures, "skipped": skipped}


def _save(out: Path, index: dict[str, object]) -> None:
    part = out / (INDEX + ".part")
    part.write_text(json.dumps(index, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(out / INDEX)


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
