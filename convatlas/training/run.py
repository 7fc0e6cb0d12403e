"""A run's folder: what lies in it, what it was started with, and whether a command may go on with it.

summary.json recipe.json metrics.jsonl weights.safetensors curves.svg confusion.svg wrong.svg report.html checkpoints/
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import subprocess
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from convatlas._version import __version__
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.training.checkpoint import listed, write_text
from convatlas.training.recipe import Recipe
from convatlas.training.record import Opened, check_record

Json = dict[str, object]


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run, and its record (recipe.json)."""

    path: Path

    @property
    def recipe(self) -> Path:
        """What was asked for and on what it ran."""
        return self.path / "recipe.json"

    @property
    def summary(self) -> Path:
        """How it ended; not there before the end."""
        return self.path / "summary.json"

    @property
    def metrics(self) -> Path:
        """A line of JSON an epoch."""
        return self.path / "metrics.jsonl"

    @property
    def weights(self) -> Path:
        """The best weights so far."""
        return self.path / "weights.safetensors"

    @property
    def page(self) -> Path:
        """All of it for a person."""
        return self.path / "report.html"

    @property
    def checkpoints(self) -> Path:
        """What --resume goes on from."""
        return self.path / "checkpoints"

    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.recipe.exists()

    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.summary.exists()

    def record(self) -> Json:
        """What the run was started with; ConvAtlasError where the file is damaged, or is no network's run."""
        try:
            found = json.loads(self.recipe.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConvAtlasError(
                f"{self.recipe}: cannot be read ({error}); without it the run cannot be resumed. Give another --out"
            ) from error
        try:
            check_record(found)
        except MisuseError as error:
            raise ConvAtlasError(
                f"{self.recipe}: {error}. Restore the file, or give another --out"
            ) from error
        return typing.cast("Json", found)

    def opened(self) -> Opened:
        """How the run's data was opened; MisuseError where it was not: a source that Python made."""
        data = typing.cast("dict[str, Opened]", self.record()["data"])
        if not data.get("opened"):
            raise MisuseError(f"{self.recipe}: does not say how its data was opened; name a set or a folder")
        return data["opened"]

    def split(self) -> Json:
        """How the data of a run that was started here came apart, as `open_data` takes it; empty where there is none."""
        data = self.record().get("data") if self.exists() else None
        opened = data.get("opened") if isinstance(data, dict) else None
        return (
            {k: opened[k] for k in ("seed", "test_share") if k in opened} if isinstance(opened, dict) else {}
        )

    def start(self, record: Json) -> None:
        """Make the folder and write down what the run is."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.recipe, json.dumps(record, indent=2, allow_nan=False) + "\n")
        except OSError as error:
            raise ConvAtlasError(
                f"{self.path}: cannot be written: {error.strerror or error}; give another --out"
            ) from error

    def write_metrics(self, history: list[Json]) -> None:
        """All epochs so far; whole at any moment, and without the lines of a future that a crash undid."""
        write_text(self.metrics, "".join(json.dumps(line, allow_nan=False) + "\n" for line in history))


def next_folder(root: Path, network: str, data: str, *, last: bool = False) -> Path:
    """runs/<network>-<data>-<n>, the first number that is free; last: the number before, that of the latest run."""
    stem = f"{network}-{Path(data).name or 'data'}".replace("@", "-")
    number = 1
    while os.path.lexists(root / f"{stem}-{number}"):
        number += 1
    return root / f"{stem}-{max(number - last, 1)}"


def check_free(folder: RunFolder) -> None:
    """MisuseError where a new run would write over another."""
    if folder.path.exists() and not folder.path.is_dir():
        raise MisuseError(f"--out {folder.path}: a file of this name is there; give a folder")
    if folder.exists() or listed(folder.checkpoints):
        raise MisuseError(
            f"--out {folder.path}: there is a run already; --resume goes on with it, another --out starts a new one"
        )


def check_agrees(folder: RunFolder, record: Json, asked: Mapping[str, object]) -> None:
    """MisuseError where an option given now contradicts what the run was started with.

    asked: option -> value, dotted where the record is nested ("recipe.lr"); only what the user wrote. What runs of an
    older version did not note down contradicts nothing.
    """
    # the file leaves out what is as by default in the augmentation
    stored = _onto(dataclasses.asdict(Recipe()), record.get("recipe"))
    stored = json.loads(json.dumps({**record, "recipe": stored}))
    wrong = []
    for name, value in asked.items():
        at: object = stored
        for part in name.split("."):
            at = at.get(part) if isinstance(at, dict) else None
        if name.partition(".")[0] in stored and json.loads(json.dumps(value)) != at:
            wrong.append(f"{name.removeprefix('recipe.')} is {at!r} there and {value!r} here")
    if wrong:
        raise MisuseError(
            f"--resume {folder.path}: the run was started with other options: {'; '.join(wrong)}. Leave them out to go "
            "on with that run, or give another --out for a new one"
        )


def _onto(defaults: object, values: object) -> object:
    """Values over their defaults, dictionaries in dictionaries too."""
    if not (isinstance(defaults, dict) and isinstance(values, dict)):
        return values
    return {**defaults, **{k: _onto(defaults.get(k), v) for k, v in values.items()}}


def versions() -> Json:
    """Versions of what computes, the machine, and the git commit of the code where there is one."""
    import torch

    found: Json = {
        "convatlas": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else processor(),
        "threads": torch.get_num_threads(),
    }
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        here = Path(__file__).resolve().parents[2]
        if (here / ".git").exists():
            git = subprocess.run(  # noqa: S603
                ["git", "-C", str(here), "rev-parse", "HEAD"],  # noqa: S607
                capture_output=True, text=True, timeout=5, check=True,
            )  # fmt: skip
            found["git"] = git.stdout.strip()
    return found


def processor() -> str:
    """The processor's name as the system gives it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
