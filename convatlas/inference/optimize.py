"""Find the fastest correct way to run a model on this machine, and show the work.

Every candidate answers the same images as the model itself in float32; those within bounds are timed against
each other in alternating rounds; the fastest is kept. Whatever fails is skipped and named, and the model in
float32 always answers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from os import PathLike

from torch import Tensor, nn

from convatlas.errors import MisuseError
from convatlas.inference import choices
from convatlas.inference.checking import Bounds
from convatlas.inference.images import Images, evidence
from convatlas.inference.optimized import Optimized
from convatlas.inference.photos import photos
from convatlas.inference.search import Search

# images on which candidates are compared with the model; the reference costs an eager pass over them
CHECKED = 64


def optimize(
    model: nn.Module,
    example: Tensor,
    precision: str = "auto",
    accuracy_data: Images | str | PathLike[str] | None = None,
    *,
    mode: str = "auto",
    engines: Sequence[str] | None = None,
    bounds: Mapping[str, Bounds] | None = None,
    checked: int = CHECKED,
    seconds: float = 20.0,
    remember: bool = True,
    explain: Callable[[str], None] | None = None,
) -> Optimized:
    """Give the fastest callable for batches like `example` (N, C, H, W) that stays within the bounds.

    precision: "auto" (the fastest within bounds; int8 only with real images), "float32", "bf16" or "int8".
    accuracy_data: real images, for the check and for int8's calibration: a folder of pictures or a pattern, read as
    the model's weights want it; or, as the model takes them, a tensor or an iterable of batches. mode: "latency"
    (one batch as soon as possible), "throughput" (most images a second, copies side by side), "auto" (by the
    example's batch). engines: names to try, all that compile in seconds by default ("inductor" takes minutes).
    bounds: by precision, instead of `checking.BOUNDS`. seconds: for timing. remember: keep and use the choice in
    the cache. explain: a function that is told what happens, as print.

    MisuseError where an argument cannot be, or the example does not fit the model; a RuntimeWarning where int8 is asked
    for without real images; everything else that fails only costs a candidate.
    """
    if not isinstance(checked, int) or checked < 1:
        raise MisuseError(f"checked: expected a number of images of 1 or more, received {checked!r}")
    search = Search(model, example, precision, mode=mode, engines=engines, bounds=bounds, explain=explain)
    notes: list[str] = []
    if isinstance(accuracy_data, (str, PathLike)):
        accuracy_data, notes = photos(accuracy_data, search.model, search.example, 2 * checked)
    found = evidence(accuracy_data, search.example, checked)
    found.notes[:0] = notes
    if precision == "int8" and not found.real:
        warnings.warn(
            "optimize: int8 is calibrated on real images, and accuracy_data gives none: the model answers in float32",
            RuntimeWarning,
            stacklevel=2,
        )
    search.begin(found)
    circumstances = (
        precision,
        search.mode,
        search.asked,
        found.enough_for_int8,
        sorted(search.report.bounds.items()),
    )
    name = choices.key(search.model, search.example, search.engines, circumstances)
    known = choices.recall(name) if remember else None
    if known is not None and search.attempt(known[0]):
        search.report.remember(known[1])
        taken = search.take()
    else:
        search.run(seconds)
        taken = search.take()
        if remember and search.passed:
            choices.remember(name, taken.plan, search.report.table())
    search.tell(str(search.report))
    return taken
