"""The end of a run: the kept weights scored in float32, and all that stays in its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from convatlas.data.loader import Loader
from convatlas.errors import ConvAtlasError
from convatlas.training import checkpoint, report
from convatlas.training.best import Best
from convatlas.training.distributed import agree, same
from convatlas.training.logs import Logs, percent
from convatlas.training.loop import Loop
from convatlas.training.plan import Plan
from convatlas.training.recipe import Recipe
from convatlas.training.run import Json, RunFolder
from convatlas.training.scores import Scores, evaluate
from convatlas.training.step import Stepper


@dataclass(frozen=True)
class Outcome:
    """A finished run: its summary, the model with the weights that were kept, and the scores of those."""

    summary: Json
    model: nn.Module
    scores: Scores
    history: list[Json]


def finish(
    loop: Loop, best: Best, folder: RunFolder | None, record: Json, test: Loader, logs: Logs
) -> Outcome:
    """Score the kept weights in float32 on the test set, and write the summary, the pictures and the page."""
    stepper, state, source = loop.stepper, loop.progress, best.source
    model = stepper.model
    # worker 0 alone keeps weights; the others hold those of the last step, or would read a file while it is written
    kept = best.state() if loop.worker.first else None
    if kept is None and loop.average is not None:
        kept = loop.average.model.state_dict()
    if kept is not None:
        model.load_state_dict(kept)
    same(loop.worker, model.state_dict().values())
    plain = Stepper(
        model,
        loop.recipe,
        Plan(channels_last=stepper.plan.channels_last, thin=stepper.plan.thin),
        best.preprocessing,
        loop.classes,
        stepper.device,
    )
    scores = evaluate(plain, test, loop.classes)
    loop.unreadable.take_of(test, "test", logs)
    epoch = int(agree(loop.worker, best.epoch) or state.epoch)  # type: ignore[call-overload]
    last = state.history[-1] if state.history else {}
    summary: Json = {
        "network": best.network.name,
        "data": source.name,
        "top1": scores.top1,
        "top5": scores.top5,
        "loss": scores.loss if scores.loss is not None and math.isfinite(scores.loss) else None,
        "epochs": state.epoch,
        "epoch": epoch,
        "top1_last": last.get("top1"),
        "seconds": state.seconds,
        "images_per_second": state.images / state.training_seconds if state.training_seconds else 0.0,
        "waiting": state.waiting_seconds / state.training_seconds if state.training_seconds else 0.0,
        "seed": loop.seed,
        "weights": None if folder is None else str(folder.weights),
        "recipe": loop.recipe.name,
        "plan": stepper.plan.describe(),
        "images": scores.images,
        "wrong": len(scores.wrong),
        "chosen_on": record["chosen_on"],
        "skipped": loop.unreadable.listed(),
    }
    if folder is not None and loop.worker.first:
        chosen = best.epoch > 0 and state.best >= 0
        told = f"{_score(scores)} after {state.seconds:.1f} s, {_choice(loop.recipe, epoch, record, chosen=chosen)}"
        leave = {
            # written again with the score of float32 arithmetic, which the epochs may not have had
            folder.weights: lambda: best.write(folder.weights, model.state_dict(), scores, epoch),
            folder.summary: lambda: checkpoint.write_text(
                folder.summary, json.dumps(summary, indent=2, allow_nan=False) + "\n"
            ),
            folder.page: lambda: report.write(
                folder.path, state.history, scores, test.dataset, summary, record
            ),
        }
        _leave(leave, folder, told, best, logs)
    return Outcome(summary, model, scores, state.history)


def _leave(
    files: Mapping[Path, Callable[[], object]], folder: RunFolder, told: str, best: Best, logs: Logs
) -> None:
    """Write each file and tell the score, whatever could not be written; ConvAtlasError where something is wanting."""
    unwritten: dict[Path, Exception] = {}
    for path, write in files.items():
        try:
            write()
        except (ConvAtlasError, OSError) as error:
            unwritten[path] = error
    if folder.weights in unwritten and best.on_disk:
        logs.say(f"warning: {unwritten.pop(folder.weights)}: the same weights, with the score of their epoch")
    logs.say(told if folder.page in unwritten else f"{told}; {folder.page}")
    if unwritten:
        reasons = "; ".join(
            str(e) if isinstance(e, ConvAtlasError) else f"{path}: {getattr(e, 'strerror', None) or e}"
            for path, e in unwritten.items()
        )
        raise ConvAtlasError(
            f"the run is over, but not all of it could be written: {reasons}. Make room and run the same command with "
            f"--resume --out {folder.path}: what is wanting is written then"
        )


def _score(scores: Scores) -> str:
    if not scores.images:
        return "not tested, for want of test pictures that can be read,"
    return f"top-1 {percent(scores.top1)} of {scores.images:,} ({len(scores.wrong)} wrong)"


def _choice(recipe: Recipe, epoch: int, record: Json, *, chosen: bool) -> str:
    """Which weights were kept and by what, for a person: a best epoch chosen on the test set flatters its score."""
    if recipe.select == "last" or not chosen:
        return "weights of the last epoch"
    if recipe.holdout:
        return f"epoch {epoch}, chosen on {record['chosen_on']}"
    return f"epoch {epoch}, chosen on these very pictures (--holdout 0.1 chooses on training pictures)"
