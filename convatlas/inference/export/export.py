"""Export: write beside the place, open in the file's own runtime, prove equal, move into place; or leave nothing."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from convatlas.data import ImageError, read_image
from convatlas.data.pixels import crop_pixels, normalize
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.inference.engines.eager import frozen_copy
from convatlas.inference.engines.importing import hushed
from convatlas.inference.export.formats import FORMATS
from convatlas.inference.export.job import Job
from convatlas.inference.export.onnx_opset import OPSET
from convatlas.inference.export.pixels import FromPixels
from convatlas.inference.export.proof import Proof, prove
from convatlas.weights.classifier import Classifier
from convatlas.weights.header import WeightsError

# images that the file is proven on: these many of the user's, or of noise
REAL, NOISE = 64, 6
# least for int8, whose ranges come from them
LEAST_FOR_INT8 = 8


@dataclass(frozen=True)
class Exported:
    """The files that were written and what was proven about them."""

    paths: tuple[Path, ...]
    format: str
    precision: str
    opset: int | None
    real: bool
    proof: Proof
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """What JSON can carry."""
        return {**asdict(self), "paths": [str(path) for path in self.paths]}


def export(
    classifier: Classifier,
    path: Path,
    to: str,
    *,
    precision: str = "float32",
    images: Sequence[Path | bytes] = (),
    uint8_input: str | None = None,
    opset: int = OPSET,
) -> Exported:
    """Write `classifier` to `path` and prove the file on `images` (random pixels where none are given).

    uint8_input: "nhwc" or "nchw" puts the normalization into the graph; pixels go in, cropped to the input's
    size. ConvAtlasError, and no file, if the file does not answer as the model does in float32.
    """
    form = FORMATS.get(to)
    if form is None:
        raise MisuseError(f"unknown format {to!r}; there are {', '.join(FORMATS)}")
    if precision not in form.precisions:
        more = (
            "; OpenVINO computes a float32 file in bf16 where the processor has it"
            if (to, precision) == ("openvino", "bf16")
            else ""
        )
        raise MisuseError(f"{to} is written as {' or '.join(form.precisions)}, not {precision}{more}")
    if uint8_input is not None and not form.takes_pixels:
        raise MisuseError(f"{to} holds weights, no graph that preprocessing could be put into")
    if others := [name for name, other in FORMATS.items() if path.suffix in other.suffixes and name != to]:
        raise MisuseError(
            f"{path}: {path.suffix} is a file of {others[0]}; {to} is written as {path.with_suffix(form.suffixes[0])}"
        )
    path = path if path.suffix == form.suffixes[0] else path.with_name(path.name + form.suffixes[0])
    if path.is_dir():
        raise MisuseError(f"{path} is a folder; -o takes the file to write")
    pixels, notes = _pixels(classifier, images)
    if precision == "int8" and (not images or len(pixels) < LEAST_FOR_INT8):
        raise MisuseError(
            f"int8 needs at least {LEAST_FOR_INT8} images of the kind it will see; give --images FOLDER (readable: {len(pixels) if images else 0})"
        )
    job = _job(classifier, pixels, precision, uint8_input, opset)
    proof = _write(job, path, to)
    written = tuple(path.with_suffix(suffix) for suffix in form.suffixes)
    stated = opset if to == "onnx" else None
    return Exported(written, to, precision, stated, bool(images), proof, tuple(notes))


def _write(job: Job, path: Path, to: str) -> Proof:
    form = FORMATS[to]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
            draft = Path(folder) / path.name
            with hushed():
                form.write(job, draft)
                proof = prove(job, form.open(job, draft))
            for suffix in reversed(form.suffixes):  # the main file last: where it is, all are
                draft.with_suffix(suffix).replace(path.with_suffix(suffix))
    except OSError as error:
        raise ConvAtlasError(
            f"{path}: cannot be written: {error.strerror or error}; {_room(path, error)}"
        ) from error
    except WeightsError as error:  # of the draft, whose name is nobody's concern
        raise ConvAtlasError(str(error).replace(str(draft), str(path))) from error
    except RuntimeError as error:  # how torch and OpenVINO report a full disk, among others
        text = " ".join(str(error).split())
        if "iostream error" in text:  # all that C++ says
            text = "it was not taken to its end: is the disk full?"
        raise ConvAtlasError(
            f"{path}: {to} could not be written: {text[:400]}; {_room(path, error)}"
        ) from error
    return proof


def _room(path: Path, error: Exception) -> str:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:
        return "nothing was left behind"
    full = getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return f"{free >> 20} MiB are free there{', too little' if full else ''}; nothing was left behind"


def _job(classifier: Classifier, pixels: Tensor, precision: str, layout: str | None, opset: int) -> Job:
    model = frozen_copy(classifier.model).cpu()  # the caller's own stays where it is
    floats = normalize(pixels, classifier.preprocessing).contiguous()
    given, images = model, floats
    if layout is not None:
        given = FromPixels(model, classifier.preprocessing, layout).eval()
        images = pixels.permute(0, 2, 3, 1).contiguous() if layout == "nhwc" else pixels.contiguous()
    provenance = {**classifier.provenance, "weights": classifier.source}
    return Job(
        classifier.name, given, model, classifier.network, classifier.preprocessing, classifier.classes, precision,
        images, floats, opset, layout, provenance,
    )  # fmt: skip


def _pixels(classifier: Classifier, images: Sequence[Path | bytes]) -> tuple[Tensor, list[str]]:
    """uint8 (n, C, H, W), RGB or grey, of the input's size; and which images could not be read."""
    channels, height, width = classifier.network.input
    if not images:
        generator = torch.Generator().manual_seed(1998)
        shape = (NOISE, channels, height, width)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8), [
            "proven on random pixels; --images FOLDER proves on real ones"
        ]
    kept: list[Tensor] = []
    notes: list[str] = []
    for image in images:
        if len(kept) == REAL:
            break
        try:
            pixels = torch.from_numpy(crop_pixels(read_image(image), classifier.preprocessing)).permute(
                2, 0, 1
            )
        except ImageError as error:
            notes.append(f"left out: {error}")
            continue
        kept.append(pixels)
    if not kept:
        raise MisuseError(f"none of the {len(images)} images can be read; the first: {notes[0]}")
    while len(kept) < 3:  # batch 3 must be proven also on one photo
        kept.append(kept[0].flip(2))
    return torch.stack(kept), notes
