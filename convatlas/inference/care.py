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
    """Try the plan with weights rounded by least squares, and with as few layers in float32 as `TRIES` can find."""
    # without enough images int8 is not even tried, and has no verdict
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
    # as many layers in float32 are no plan of this precision any more
    limit = next(
        (n for n in range(len(found.names)) if not search.bench.rounds_any(refined(plan, n))),
        len(found.names),
    )
    failed, passed = -1, limit
    exact = found.spared_for(most)
    for _ in range(TRIES):
        if exact <= failed:  # as many were too few: between what failed and what passed, if there is any
            exact = max(failed + 1, (failed + passed) // 2)
        exact = min(exact, passed - 1)
        if exact <= failed:
            break
        good = search.attempt(refined(plan, exact))
        if good:
            _drop(search, refined(plan, passed))
            passed = exact
        else:
            failed = exact
        verdict = search.report.rows[-1].verdict
        exact = guess(found, exact, verdict.expected if verdict else None, most, good=good)
    note = (
        f"a refined {plan.precision} plan must be expected to answer at most {most:.2%} of further images otherwise, "
        "by how far it moves the leads of the first classes"
    )
    tried = failed >= 0 or passed < limit
    if tried and note not in search.report.notes:
        search.report.notes.append(note)


def refined(plan: Plan, exact: int) -> Plan:
    """The plan with weights rounded by least squares, and so many layers in float32."""
    return replace(plan, refined=True, exact=exact)


def _drop(search: Search, plan: Plan) -> None:
    """Let go of a plan that passed, and of its memory: with fewer layers in float32 it does, too."""
    if plan in search.passed:
        _, row = search.passed.pop(plan)
        row.outcome = "not timed: passes with fewer layers in float32, too"


def guess(found: Sensitivity, exact: int, measured: float | None, most: float, *, good: bool) -> int:
    """How many layers to leave in float32, after a try with `exact`; measured: the share of changes that it was told.

    What was predicted for it is taken to be off by the same factor for all numbers. Where the share was not what failed,
    half of it is tried.
    """
    near = measured is not None and (good or measured > most)
    factor = most / max(measured or 0.0, 1e-9) if near else 0.5
    return found.spared_for(found.changed(exact) * factor)
