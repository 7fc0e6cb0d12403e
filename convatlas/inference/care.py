"""What to do with a plan that answers otherwise too often: refine it, and spare layers, until it answers as it should.

Of several tries one passes by luck. So each is judged on all images that there are, those of the calibration included,
and must answer all of them alike; where none does, the nearest is taken if it misses half as many as the bound lets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas.inference.candidates import finer_plans
from convatlas.inference.engines import Engine, Plan
from convatlas.inference.report import Row

if TYPE_CHECKING:
    from convatlas.inference.search import Search


def refine_until_it_agrees(search: Search, one: Engine, plan: Plan) -> None:
    """Try the plan with weights rounded by least squares, then with ever more layers in float32; the last row is its own."""
    # without enough images int8 is not even tried, and has no row
    verdict = next((row.verdict for row in reversed(search.report.rows) if row.plan == plan), None)
    judged = search.evidence.real and verdict is not None and verdict.problem is not None
    if not judged or plan.precision not in one.refines or not search.evidence.enough_for_int8:
        return
    search.tell(f"{plan}: looking at which layers lose most")
    bound = search.bounds[plan.precision].agreement
    try:
        finer = finer_plans(plan, search.bench.sensitivity(plan.precision), bound)
    except Exception as error:  # noqa: BLE001  as in `attempt`: it only costs this candidate
        search.report.notes.append(f"{plan}: not refined: {' '.join(str(error).split())[:200]}")
        return
    enough = half_way(bound)
    note = (
        f"a refined {plan.precision} plan must answer as float32 does on every image, those that it was calibrated on "
        f"included, since of several tries one passes by luck; where none does, the nearest is taken from {enough:.2%} on"
    )
    if finer and note not in search.report.notes:
        search.report.notes.append(note)
    tried: list[tuple[float, Plan, Row]] = []
    for better in finer:
        if search.attempt(better, least=1.0 if bound > 0 else 0.0):
            return
        row = search.report.rows[-1]
        if row.plan == better and row.verdict is not None:
            tried.append((row.verdict.agreement, better, row))
    for share, nearest, row in sorted(tried, key=lambda t: -t[0])[
        :1
    ]:  # of equals the one that spares fewest layers
        if share >= enough:
            search.report.rows.remove(row)  # its second verdict is the one that counts
            search.attempt(nearest, least=enough)


def half_way(agreement: float) -> float:
    """The share of equal answers that misses half as many as a bound lets differ."""
    return 1 - (1 - agreement) / 2
