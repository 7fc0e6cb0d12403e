"""`index.json` beside tar shards, which `data pack` writes: their classes, and the length and sha256 of each."""

from __future__ import annotations

import json
import re
from pathlib import Path

from convatlas.errors import ConvAtlasError
from convatlas.fetch import DownloadError, download

INDEX = "index.json"  # {"classes": [...], "shards": {name: {"sha256": ..., "bytes": ...}}}
# How a site says that it has no such file: stores keep quiet about it (403), others show a page of theirs.
_NONE = re.compile(r"HTTP (403|404|410)\b|answers with a web page")


def read_index(data: bytes, where: str) -> dict[str, object]:
    """The index of its bytes, {} for JSON of another kind; ConvAtlasError where it is not JSON."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConvAtlasError(f"{where}: not JSON ({error}); fetch or write it again, or remove it") from error
    return content if isinstance(content, dict) else {}


def fetched_index(address: str, place: Path, fetch: bool, shards_are_here: bool) -> dict[str, object]:
    """The index at an address, through the cache; {} where the site has none, as with shards made by others."""
    if not fetch and not place.is_file():
        return {}
    try:
        download(address, place)
    except DownloadError as error:
        # without the right one the classes would be guessed; but shards that were fetched had none, and are used offline
        if shards_are_here or _NONE.search(str(error)):
            return {}
        raise
    try:
        return read_index(place.read_bytes(), address)
    except ConvAtlasError:
        place.unlink()  # to be fetched again
        raise


def entries_of(index: dict[str, object]) -> dict[str, dict[str, object]]:
    """What the index says of each shard, by its name."""
    shards = index.get("shards")
    return {n: e for n, e in shards.items() if isinstance(e, dict)} if isinstance(shards, dict) else {}


def compare(shards: list[Path], index: dict[str, object], *, whole: bool) -> tuple[str, ...]:
    """ConvAtlasError where a shard has not the length that the index says; a note where a `whole` folder lacks some."""
    entries = entries_of(index)
    for shard in shards:
        length, expected = shard.stat().st_size, entries.get(shard.name, {}).get("bytes")
        if isinstance(expected, int) and length != expected:
            raise ConvAtlasError(
                f"{shard}: {length:,} bytes, {INDEX} says {expected:,}; copy, fetch or pack it again"
            )
    absent = sorted(set(entries) - {shard.name for shard in shards}) if whole else []
    return (
        (f"{len(absent)} of the {len(entries)} shards of {INDEX} are not there, such as {absent[0]}",)
        if absent
        else ()
    )
