"""Find the fastest correct way to run a model on this machine, and show the work.

Every candidate answers the same images as the model itself in float32; those within bounds are timed against
each other in alternating rounds; the fastest is kept. Whatever fails is skipped and named, and the model in
float32 always answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from convatlas.inference import choices
from convatlas.inference.checking import Bounds
from convatlas.inference.images import Images, evidence
from convatlas.inference.optimized import Optimized
from convatlas.inference.search import Search

# images on which candidates are compared with the model; the reference costs an eager pass over them
CHECKED = 64


def optimize(
    model: nn.Module,
    example: Tensor,
    precision: str = "auto",
    accuracy_data: Images | None = None,
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
    accuracy_data: real images as the model takes them, for the check and for int8's calibration: a tensor, or
    an iterable of batches. mode: "latency" (one batch as soon as possible), "throughput" (most images a second,
    copies side by side), "auto" (by the example's batch). engines: names to try, all that compile in seconds by
    default ("inductor" takes minutes). bounds: by precision, instead of `checking.BOUNDS`. seconds: for timing.
    remember: keep and use the choice in the cache. explain: a function that is told what happens, as print.

    MisuseError where the example does not fit the model; everything else that fails only costs a candidate.
    """
    search = Search(model, example, precision, mode=mode, engines=engines, bounds=bounds, explain=explain)
    found = evidence(accuracy_data, search.example, checked)
    search.begin(found)
    circumstances = (
        precision,
        search.mode,
        search.asked,
        found.enough_for_int8,
        sorted(search.report.bounds.items()),
    )
    name = choices.key(search.model, search.example, search.engines, circumstances)
    plan = choices.recall(name) if remember else None
    if plan is not None and search.attempt(plan):
        search.report.notes.append("choice remembered from an earlier run, checked again, not timed")
    else:
        search.run(seconds)
    taken = search.take()
    if remember and search.passed:
        choices.remember(name, taken.plan)
    search.tell(str(search.report))
    return taken
