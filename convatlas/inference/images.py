"""Images to check and calibrate on: the user's own, cleaned of what cannot be used, or noise that is called noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from convatlas.errors import MisuseError

# fewer than this say nothing about the ranges of activations
LEAST_FOR_INT8 = 8
# from here on, calibration and check do not share images
LEAST_TO_SPLIT = 32

Images = Tensor | Iterable[object]


@dataclass
class Evidence:
    """Float32 images (n, C, H, W) as the model takes them: `check` to compare on, `calibration` for int8."""

    check: Tensor
    calibration: Tensor
    real: bool
    notes: list[str] = field(default_factory=list)

    @property
    def enough_for_int8(self) -> bool:
        return self.real and len(self.calibration) >= LEAST_FOR_INT8


def evidence(given: Images | None, example: Tensor, limit: int) -> Evidence:
    """Up to `limit` images for the check, and as many for calibration, from what the user gave.

    given: a tensor (n, C, H, W), or an iterable of such batches, of single images, or of (images, labels).
    """
    shape = tuple(example.shape[1:])
    if given is None:
        images = synthetic(limit, shape).to(example.device)
        return Evidence(
            images,
            images,
            real=False,
            notes=[f"checked on {limit} synthetic images; accuracy_data= takes real ones, which int8 needs"],
        )
    images, notes = _collect(given, shape, 2 * limit)
    if len(images) == 0:
        raise MisuseError(
            f"accuracy_data: no usable image among those given ({'; '.join(notes) or 'it is empty'}); expected float "
            f"images of {'x'.join(map(str, shape))}, preprocessed as the model expects them"
        )
    images = images.to(example.device)
    if len(images) >= LEAST_TO_SPLIT:
        check, calibration = images[1::2], images[::2]
    else:
        check = calibration = images
        notes.append(
            f"only {len(images)} image{'s' if len(images) > 1 else ''}: calibration and check share them, and the agreement says little"
        )
    if len(calibration) < LEAST_FOR_INT8:
        notes.append(
            f"int8 not tried: {len(calibration)} images are too few to calibrate on, {LEAST_FOR_INT8} is the least"
        )
    return Evidence(check, calibration, real=True, notes=notes)


def synthetic(count: int, shape: tuple[int, ...]) -> Tensor:
    """Smooth noise of about unit variance, the same every time: (count, C, H, W)."""
    generator = torch.Generator().manual_seed(1998)
    channels, height, width = shape
    coarse = torch.randn(count, channels, max(1, height // 16), max(1, width // 16), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return smooth + 0.3 * torch.randn(count, *shape, generator=generator)


def _collect(given: Images, shape: tuple[int, ...], limit: int) -> tuple[Tensor, list[str]]:
    """Usable images, and what was wrong with the others."""
    kept: list[Tensor] = []
    wrong: Counter[str] = Counter()
    total = 0
    if not isinstance(given, Iterable):
        raise MisuseError(
            f"accuracy_data: expected a folder, a tensor or an iterable of batches, received {type(given).__name__}"
        )
    pieces = iter([given] if isinstance(given, Tensor) else given)
    while total < limit:
        try:
            piece = next(pieces)
        except StopIteration:
            break
        except Exception as error:  # noqa: BLE001  the user's own code may raise anything
            wrong[f"reading failed ({error})"] += 1
            break  # a generator that raised is finished
        if isinstance(piece, (tuple, list)) and piece and isinstance(piece[0], Tensor):
            piece = piece[0]
        if (fault := _fault(piece, shape)) is not None:
            wrong[fault] += len(piece) if isinstance(piece, Tensor) and piece.dim() > 3 else 1
            continue
        assert isinstance(piece, Tensor)
        batch = piece.unsqueeze(0) if piece.dim() == 3 else piece
        finite = batch.flatten(1).isfinite().all(1)
        wrong["has values that are not finite"] += int((~finite).sum())
        kept.append(batch[finite][: limit - total].float())
        total += len(kept[-1])
    notes = [
        f"{count} of the images given left out: it {problem}" for problem, count in wrong.items() if count
    ]
    return (torch.cat(kept) if kept else torch.empty(0, *shape)), notes


def _fault(piece: object, shape: tuple[int, ...]) -> str | None:
    """Why nothing of a piece can be used, after "it"."""
    if not isinstance(piece, Tensor):
        return f"is a {type(piece).__name__}, not a tensor"
    got = tuple(piece.shape[1:] if piece.dim() > 3 else piece.shape)
    if got != shape:
        return f"has shape {'x'.join(map(str, got)) or '()'} instead of {'x'.join(map(str, shape))}"
    if piece.is_meta:
        return "has no values: it is on the device meta"
    if not piece.is_floating_point():
        return f"holds {str(piece.dtype).removeprefix('torch.')} instead of preprocessed floats"
    return None
