"""Read every picture of a folder once and say what is wrong with it: before a night of training, not in it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from convatlas.data.decode import decode_whole
from convatlas.data.images import ImageError, read_bytes, read_image, writable
from convatlas.data.readers.folders import pictures_in
from convatlas.data.sources import open_data
from convatlas.errors import ConvAtlasError

Progress = Callable[[int, int], None]
_NEAR_BITS = 8  # of 64 that may differ; a pair is looked at where one of four bands of 16 is equal
# Mean difference of two 16x16 thumbnails, of 255. Of 121 photos of bees, halved and saved at quality 70, none is
# farther than 2.4 from itself, and no two are nearer than 24.
_NEAR_LEVELS = 8.0


@dataclass(frozen=True)
class _Seen:
    """What is kept of one picture: a few hundred bytes."""

    path: Path
    reason: str = ""
    size: tuple[int, int] = (0, 0)
    digest: bytes = b""
    look: int = 0  # difference hash, 0 where the picture is too even to tell
    thumbnail: np.ndarray | None = None


@dataclass
class Check:
    """What `check_folder` found. Paths are relative to the folder. `problems` stop a training, `warnings` spoil it."""

    root: str
    pictures: int = 0
    bytes: int = 0
    classes: dict[str, dict[str, int]] = field(default_factory=dict)  # part: class: pictures
    sizes: list[tuple[int, int]] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    near_duplicates: list[list[str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    other_files: int = 0

    @property
    def good(self) -> bool:
        """Whether a training could start, and would see every picture."""
        return not self.problems and not self.broken

    def to_dict(self) -> dict[str, object]:
        """What --json prints: the sizes summed up."""
        result = {k: v for k, v in asdict(self).items() if k != "sizes"} | {"root": writable(self.root)}
        if self.sizes:
            short = sorted(min(s) for s in self.sizes)
            result["short_side"] = {"min": short[0], "median": short[len(short) // 2], "max": short[-1]}
        return result | {"good": self.good}


def check_folder(root: Path, workers: int | None = None, progress: Progress | None = None) -> Check:
    """Read all pictures below `root` in parallel; nothing is changed. ConvAtlasError where it is no folder."""
    if not root.is_dir():
        raise ConvAtlasError(f"{root}: not a folder; data check reads every picture below one")
    result = Check(str(root))
    paths = sorted(pictures_in(root))
    result.other_files = sum(len(files) for _, _, files in os.walk(root)) - len(paths)
    result.pictures = len(paths)
    seen: list[_Seen] = []
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    try:
        for one in pool.map(_look, paths):
            seen.append(one)
            if progress:
                progress(len(seen), len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
    result.bytes = sum(p.stat().st_size for p in paths if p.exists())  # a link may lead nowhere
    result.broken = [(_name(s.path, root), s.reason) for s in seen if s.reason]
    whole = [s for s in seen if not s.reason]
    result.sizes = [s.size for s in whole]
    result.duplicates = [_names(group, root) for group in _exact(whole)]
    result.near_duplicates = [_names(group, root) for group in _near(whole)]
    _judge(result, root)
    return result


def _look(path: Path) -> _Seen:
    try:
        data = read_bytes(path)
        pixels = decode_whole(data, str(path))
        image = read_image(data, str(path)) if pixels is None else Image.fromarray(pixels)
    except ImageError as error:
        return _Seen(path, error.reason)
    thumbnail = np.asarray(image.resize((16, 16), Image.Resampling.BOX))
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX)).astype(int)
    bits = (grey[:, 1:] > grey[:, :-1]).flatten()
    look = int("".join("01"[b] for b in bits.astype(int)), 2) if grey.std() > 4 else 0
    return _Seen(path, "", image.size, hashlib.sha256(data).digest(), look, thumbnail)


def _exact(seen: Sequence[_Seen]) -> list[list[Path]]:
    groups: dict[bytes, list[Path]] = defaultdict(list)
    for one in seen:
        groups[one.digest].append(one.path)
    return [group for group in groups.values() if len(group) > 1]


def _near(seen: Sequence[_Seen]) -> list[list[Path]]:
    """Pairs that look alike and are not the same bytes, joined into groups."""
    bands: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, one in enumerate(seen):
        if one.look:
            for band in range(4):
                bands[band, one.look >> 16 * band & 0xFFFF].append(i)
    leader = list(range(len(seen)))

    def find(i: int) -> int:
        while leader[i] != i:
            i = leader[i]
        return i

    for members in bands.values():
        if len(members) > 200:  # a band that says nothing, such as a plain background
            continue
        for i, j in combinations(members, 2):
            a, b = seen[i], seen[j]
            if (a.look ^ b.look).bit_count() > _NEAR_BITS or a.digest == b.digest:
                continue
            assert a.thumbnail is not None
            assert b.thumbnail is not None
            if np.abs(a.thumbnail.astype(int) - b.thumbnail).mean() <= _NEAR_LEVELS:
                leader[find(j)] = find(i)
    groups: dict[int, list[Path]] = defaultdict(list)
    for i, one in enumerate(seen):
        groups[find(i)].append(one.path)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def _judge(result: Check, root: Path) -> None:
    """What the findings mean for a training: its layout, its balance, what leaks from train into test."""
    broken = {name for name, _ in result.broken}
    try:
        source = open_data(str(root))
    except ConvAtlasError as error:
        result.problems.append(writable(str(error)))
        return
    part_of: dict[str, tuple[str, str]] = {}
    for part, dataset in (("train", source.train), ("test", source.test)):
        labels = dataset.labels.tolist()
        counts = Counter(dataset.classes[i] for i in labels)
        result.classes[part] = {c: counts.get(c, 0) for c in source.classes}
        for path, label in zip(getattr(dataset, "paths", ()), labels, strict=True):
            part_of[_name(path, root)] = (part, source.classes[label])
    result.warnings += source.notes
    train = Counter(c for n, (p, c) in part_of.items() if p == "train" and n not in broken)
    for name in source.classes:
        if not train[name]:
            result.problems.append(f"class {name!r}: no picture to train on can be read")
    if train and max(train.values()) > 10 * max(min(train.values()), 1):
        (most, n), (least, m) = train.most_common()[0], train.most_common()[-1]
        result.warnings.append(f"out of balance: {n} pictures of {most!r}, {m} of {least!r}")
    made_here = source.split.get("by") == "stratified"
    for kind, groups in (("the same", result.duplicates), ("nearly the same", result.near_duplicates)):
        places = [{part_of[n] for n in group if n in part_of} for group in groups]
        leaks = 0 if made_here else sum(len({p for p, _ in place}) > 1 for place in places)
        if leaks:
            result.warnings.append(
                f"{leaks} pictures are {kind} in train and test: the accuracy will be flattered"
            )
        mixed = sum(len({c for _, c in place}) > 1 for place in places)
        if mixed:
            result.warnings.append(f"{mixed} pictures are {kind} in two classes: one label of each is wrong")


def _name(path: Path, root: Path) -> str:
    return writable(path.relative_to(root).as_posix())


def _names(group: Sequence[Path], root: Path) -> list[str]:
    return [_name(p, root) for p in group]
