"""What to do with a plan that answers otherwise too often: refine it, and spare layers, until it answers as it should.

Of several tries one passes by luck, if answers are counted: 64 photos cannot tell 97 % from 99 %. So a refined plan
must stay within its bounds on all images that there are, those of the calibration included, and the share of further
images that it would answer otherwise, told by how far it moves the leads of the first classes, must be well below what
its bound allows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convatlas.inference.checking import safe
from convatlas.inference.engines import Engine, Plan
from convatlas.inference.graph.sensitivity import Sensitivity

if TYPE_CHECKING:
    from convatlas.inference.search import Search

# plans that are made for one that misses its bounds, at most: each costs a compilation, and int8 its calibration anew
TRIES = 4


def refine_until_it_agrees(search: Search, one: Engine, plan: Plan) -> None:
    """Try the plan with weights rounded by least squares, and as many layers in float32 as it takes.

    The last row of the search is the plan's own.
    """
    # without enough images int8 is not even tried, and has no row
    verdict = next((row.verdict for row in reversed(search.report.rows) if row.plan == plan), None)
    judged = search.evidence.real and verdict is not None and verdict.problem is not None
    if not judged or plan.precision not in one.refines or not search.evidence.enough_for_int8:
        return
    search.tell(f"{plan}: looking at which layers lose most")
    most = safe(search.bounds[plan.precision].agreement)
    try:
        found = search.bench.sensitivity(plan.precision)
    except Exception as error:  # noqa: BLE001  as in `attempt`: it only costs this candidate
        search.report.notes.append(f"{plan}: not refined: {' '.join(str(error).split())[:200]}")
        return
    note = (
        f"a refined {plan.precision} plan must be expected to answer at most {most:.2%} of further images otherwise, "
        "by how far it moves the leads of the first classes"
    )
    exact = found.spared_for(most)
    if exact < len(found.names) and note not in search.report.notes:
        search.report.notes.append(note)
    for _ in range(TRIES):
        if exact >= len(found.names):
            return
        better = replace(plan, refined=True, exact=exact)
        if search.attempt(better):
            return
        row = search.report.rows[-1]
        exact = more_spared(found, exact, row.verdict.expected if row.verdict else None, most)


def more_spared(found: Sensitivity, exact: int, measured: float | None, most: float) -> int:
    """How many layers to leave in float32 after `exact` were too few; measured: the changes to expect that were found."""
    predicted = found.changed(exact)
    # what was predicted is off by the same factor for all numbers; where that was not what failed, half of it is tried
    off = most / measured if measured is not None and measured > most else 0.5
    return max(exact + 1, found.spared_for(predicted * off))
