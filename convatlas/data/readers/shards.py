"""Tar shards in WebDataset form: one sample a key, `KEY.jpg` beside `KEY.cls` (or .json, .txt), local or over HTTP.

An uncompressed tar is read in place: its headers are walked once, and a picture is then a seek and a read, so that
shuffling and resuming are exact. A shard at an address is fetched into the cache first, resumably.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import torch

from convatlas.data.readers.folders import SUFFIXES, TEST_NAMES, TRAIN_NAMES
from convatlas.data.readers.labels import classes_of
from convatlas.data.readers.shard_index import INDEX, compare, entries_of, fetched_index, read_index
from convatlas.data.readers.tars import whole_tar
from convatlas.data.sets import FileSet
from convatlas.data.sources import DataSource
from convatlas.data.splits import stratified
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.fetch import cache_dir, download

_MAX_LABEL = 1 << 16  # bytes of a .cls, .txt or .json


def open_shards(spec: str, seed: int, test_share: float, fetch: bool = True) -> DataSource:
    """A folder of *.tar, one tar, NAME-{000000..000009}.tar, or an address of the same.

    Shards whose name begins with train, and with val or test, keep that split; otherwise one is made.
    """
    shards, index = _places(spec, fetch)
    notes = compare(shards, index, whole=Path(spec).is_dir())
    keys = [(shard, *entry) for shard in shards for entry in scan(shard)]
    if not keys:
        raise MisuseError(f"{spec}: no pictures with labels in {len(shards)} shards (KEY.jpg beside KEY.cls)")
    packed = "plan" in index  # by `data pack`, whose labels are numbers of classes and never names
    classes, numbers = _classes([str(label) for *_, label in keys], index.get("classes"), spec, packed)
    whole = FileSet(
        tuple(shard for shard, *_ in keys),
        torch.tensor(numbers, dtype=torch.int64),
        classes,
        _name(spec),
        tuple((offset, length) for _, _, offset, length, _ in keys),
        tuple(member for _, member, *_ in keys),
    )
    train = [i for i, (shard, *_) in enumerate(keys) if shard.name.lower().startswith(TRAIN_NAMES)]
    test = [i for i, (shard, *_) in enumerate(keys) if shard.name.lower().startswith(TEST_NAMES)]
    split: dict[str, object] = {"by": "shards"}
    if not train or not test:
        train, test = stratified(numbers, test_share, seed)
        split = {"by": "stratified", "seed": seed, "test_share": test_share}
    return DataSource(
        _name(spec), whole.subset(train), whole.subset(test), classes, f"{spec}, tar shards", split, notes
    )


def expand(spec: str) -> list[str]:
    """Braces with a range, `{0000..0146}`, written out; at most one of them, as the form has it."""
    found = re.search(r"\{(\d{1,18})\.\.(\d{1,18})\}", spec)
    if not found:
        return [spec]
    first, last = found.groups()
    if int(last) < int(first) or int(last) - int(first) > 1_000_000:
        raise MisuseError(f"{spec}: the range {found.group()} is empty or too long")
    numbers = (str(n).zfill(len(first)) for n in range(int(first), int(last) + 1))
    return [spec[: found.start()] + n + spec[found.end() :] for n in numbers]


def scan(shard: Path) -> Iterator[tuple[str, int, int, str | int]]:
    """(member, offset, length, label) of every picture that has a label, in the order of the tar."""
    picture: tuple[str, int, int] | None = None
    label: str | int | None = None
    key = ""
    with whole_tar(shard) as archive:
        for member in archive:
            if not member.isfile():
                continue
            stem, _, extension = _split(member.name)
            if stem != key:
                if picture and label is not None:
                    yield (*picture, label)
                key, picture, label = stem, None, None
            if "." + extension in SUFFIXES:
                picture = (member.name, member.offset_data, member.size)
            elif extension in ("cls", "txt", "json") and member.size <= _MAX_LABEL and label is None:
                file = archive.extractfile(member)
                label = _label(file.read() if file else b"", extension)
    if picture and label is not None:
        yield (*picture, label)


def _split(name: str) -> tuple[str, str, str]:
    """A member's key, a dot, and its extension: all after the first dot of the last part, in small letters."""
    folder, slash, last = name.rpartition("/")
    stem, dot, extension = last.partition(".")
    return folder + slash + stem, dot, extension.lower()


def _label(data: bytes, extension: str) -> str | int | None:
    text = data.decode("utf-8", "replace").strip()
    if extension != "json":
        return text or None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = content.get("label", content.get("cls")) if isinstance(content, dict) else None
    return found if isinstance(found, (str, int)) and not isinstance(found, bool) else None


def _places(spec: str, fetch: bool) -> tuple[list[Path], dict[str, object]]:
    if spec.startswith(("http://", "https://")):
        return _fetched(spec, fetch)
    path = Path(spec)
    shards = sorted(path.glob("*.tar")) if path.is_dir() else [Path(p) for p in expand(spec)]
    absent = [p for p in shards if not p.is_file()]
    if absent or not shards:
        raise MisuseError(f"{spec}: {absent[0] if absent else 'no *.tar in it'}: there is no such shard")
    index = shards[0].parent / INDEX
    return shards, read_index(index.read_bytes(), str(index)) if index.is_file() else {}


def _fetched(spec: str, fetch: bool) -> tuple[list[Path], dict[str, object]]:
    addresses = expand(spec)
    try:
        good = all(urlsplit(a).path.endswith(".tar") for a in addresses)
    except ValueError as error:
        raise MisuseError(f"{spec}: not an address ({error})") from error
    if not good:
        raise MisuseError(f"{spec}: an address of shards ends in .tar")
    base = addresses[0].rpartition("/")[0]
    folder = cache_dir() / "shards" / hashlib.sha256(base.encode()).hexdigest()[:16]
    paths = [folder / Path(urlsplit(address).path).name for address in addresses]
    index = fetched_index(f"{base}/{INDEX}", folder / INDEX, fetch, all(p.is_file() for p in paths))
    entries = entries_of(index)
    for address, path in zip(addresses, paths, strict=True):
        sha256 = entries.get(path.name, {}).get("sha256")
        download(address, path, sha256 if isinstance(sha256, str) else None)
    return paths, index


def _classes(
    labels: list[str], named: object, spec: str, packed: bool = False
) -> tuple[tuple[str, ...], list[int]]:
    if isinstance(named, list) and named and all(isinstance(n, str) for n in named):
        number = {str(i): i for i in range(len(named))}
        if not packed:
            by_name = {n: i for i, n in enumerate(named)}
            twofold = sorted(n for n in set(labels) & set(number) & set(by_name) if number[n] != by_name[n])
            if twofold:
                raise ConvAtlasError(
                    f"{spec}: label {twofold[0]!r} may be class {named[number[twofold[0]]]!r}, by its number from 0, or "
                    f"the class of that name in {INDEX}; write numbers as labels, and no such names there"
                )
            number |= by_name
        strange = sorted(set(labels) - set(number))
        if strange:
            raise ConvAtlasError(
                f"{spec}: label {strange[0][:40]!r} is none of the {len(named)} classes of {INDEX}"
            )
        if len(named) < 2:
            raise MisuseError(f"{spec}: {INDEX} has one class only; to tell apart there must be two or more")
        return tuple(named), [number[label] for label in labels]
    names = classes_of(labels, spec)
    number = {name: i for i, name in enumerate(names)}
    return names, [number[label] if label in number else int(label) for label in labels]  # 007 is 7


def _name(spec: str) -> str:
    return Path(urlsplit(spec).path).stem.split("{")[0].strip("-_") or "shards"
