"""Compare a file with the model it was made of, at two sizes of batch; a file that differs is no export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.errors import ConvAtlasError
from convatlas.inference.checking import BOUNDS, Bounds, judge
from convatlas.inference.export.job import Job

# 1 and 3: a batch axis that was frozen, or squeezed away, shows at one of them
BATCHES = (1, 3)
# of float32, relative to the largest logit: other runtimes add up in another order
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Proof:
    """What was compared: images, the largest difference of a logit and of a probability, top-1 agreement."""

    images: int
    logit_difference: float
    probability_difference: float
    agreement: float
    batches: tuple[int, ...] = BATCHES


def prove(job: Job, run: Callable[[Tensor], Tensor], bounds: Mapping[str, Bounds] = BOUNDS) -> Proof:
    """ConvAtlasError if the file's runtime does not answer as the model does in float32."""
    with torch.no_grad():
        expected = torch.cat([job.float_model(piece) for piece in job.floats.split(8)])
    if not expected.isfinite().all():
        raise ConvAtlasError(
            "the network's own answers are not finite numbers, so no file can be proven equal: its weights are broken, "
            "or too large for its pictures"
        )
    worst, parts = 0.0, []
    for batch in BATCHES:
        usable = len(job.images) // batch * batch
        try:
            with torch.no_grad():
                got = torch.cat([run(piece.contiguous()) for piece in job.images[:usable].split(batch)])
        except Exception as error:
            text = " ".join(str(error).split())
            raise ConvAtlasError(f"the file does not run at batch {batch}: {text[:400]}") from error
        if got.shape != expected[:usable].shape:
            raise ConvAtlasError(
                f"the file answers {tuple(got.shape)} at batch {batch} instead of {tuple(expected[:usable].shape)}"
            )
        worst = max(worst, float((got - expected[:usable]).abs().max()))
        parts.append(judge(expected[:usable], got, bounds[job.precision]))
        limit = TOLERANCE * (1 + float(expected.abs().max()))
        if job.precision == "float32" and not worst <= limit:
            raise ConvAtlasError(
                f"the file's logits differ by {worst:.2g} at batch {batch}, more than {limit:.2g}"
            )
        if parts[-1].problem and len(job.images) >= 32:  # below, one image that flips is no statistic
            raise ConvAtlasError(
                f"the {job.precision} file is not good enough at batch {batch}: {parts[-1].problem}"
            )
        if parts[-1].difference > bounds[job.precision].difference:
            raise ConvAtlasError(
                f"the {job.precision} file is not good enough at batch {batch}: {parts[-1].problem}"
            )
    return Proof(len(job.images), worst, max(p.difference for p in parts), min(p.agreement for p in parts))
