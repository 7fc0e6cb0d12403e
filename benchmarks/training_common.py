"""What the training benchmarks share: the plain script of the usual kind, the machine's description, the report."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from convatlas.data.sets import TensorSet  # noqa: E402
from convatlas.training.run import processor  # noqa: E402


def command() -> str:
    """What was typed, without the places of this machine: a path is told by its last part."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv]
    return " ".join(["python", *words])


class PerSample(Dataset):  # type: ignore[type-arg]
    """A set as torchvision's MNIST hands it out: a Pillow image, then the transforms, one sample at a time."""

    def __init__(self, images: TensorSet, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.images.images[index, 0].numpy())
        return self.transform(image), int(self.images.labels[index])


def to_tensor(image: Image.Image, pad: int = 2, mean: float = 0.1307, std: float = 0.3081) -> Tensor:
    """Pad to 32, ToTensor and Normalize of the common example, with Pillow and numpy as torchvision does it."""
    import numpy as np

    padded = Image.new("L", (image.width + 2 * pad, image.height + 2 * pad))
    padded.paste(image, (pad, pad))
    values = torch.from_numpy(np.array(padded, np.uint8, copy=True)).view(1, padded.height, padded.width)
    return values.to(torch.float32).div(255).sub(mean).div(std)


def loader(images: TensorSet, batch: int, *, shuffle: bool, seed: int = 0) -> DataLoader:  # type: ignore[type-arg]
    """The usual DataLoader without workers: with two here it is slower (training step benchmark)."""
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(PerSample(images, to_tensor), batch, shuffle=shuffle, generator=generator)


@torch.no_grad()
def accuracy(model: nn.Module, batches: DataLoader) -> float:  # type: ignore[type-arg]
    """Share right, as the example script tests: the whole test set through its own loader."""
    model.eval()
    right = count = 0
    for x, y in batches:
        right += int((model(x).argmax(1) == y).sum())
        count += len(y)
    model.train()
    return right / count


def plain_epoch(model: nn.Module, batches: DataLoader, optimizer: torch.optim.Optimizer) -> None:  # type: ignore[type-arg]
    """One epoch of the usual loop."""
    model.train()
    for x, y in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()


def load() -> str:
    """How busy the machine is besides us; what other programs do is noise in every figure below."""
    one, five, _ = os.getloadavg()
    return f"{one:.1f} (1 min), {five:.1f} (5 min)"


def spread(values: Sequence[float]) -> str:
    """Median [lowest to highest] (n)."""
    return f"{statistics.median(values):.4g} [{min(values):.4g} to {max(values):.4g}] (n={len(values)})"


def machine() -> str:
    """The machine and the versions, for a report."""
    gpu = f"{torch.cuda.get_device_name()}; " if torch.cuda.is_available() else ""
    return (
        f"{gpu}{processor()}, {os.cpu_count()} CPUs, {torch.get_num_threads()} threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}; load average {load()}; "
        f"OMP_WAIT_POLICY {os.environ.get('OMP_WAIT_POLICY', 'as is')}"
    )


def report(name: str, title: str, lines: Sequence[str]) -> Path:
    """Write benchmarks/reports/DATE-NAME.md; its path."""
    folder = ROOT / "benchmarks/reports"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}-{name}.md"
    text = "\n".join([f"# {title}", "", machine(), "", *lines, "", f"Command: `{command()}`", ""])
    path.write_text(text.replace(str(ROOT) + "/", ""), encoding="utf-8")
    print(text)
    return path
