"""What a run needs to be gone on with: its checkpoints written, found again, and held against what is asked now."""

from __future__ import annotations

import json
from collections.abc import Callable

import torch

from convatlas.data.resize import kernels as resize_kernels
from convatlas.data.sources import DataSource
from convatlas.define import Network
from convatlas.define.serialize import network_to_dict
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.modules.norm import unfused
from convatlas.training import checkpoint
from convatlas.training.best import kept_epoch
from convatlas.training.logs import Logs
from convatlas.training.loop import Loop
from convatlas.training.plan import Plan
from convatlas.training.recipe import Recipe
from convatlas.training.run import Json, RunFolder
from convatlas.training.start import Start


def check_same(folder: RunFolder, record: Json, network: Network, source: DataSource) -> None:
    """ConvAtlasError where the data or the network is another than the run's."""
    was, now = record["data"], source.record()
    if was["classes"] != now["classes"]:  # type: ignore[index]
        raise MisuseError(
            f"--resume {folder.path}: the run tells {was['classes']} classes apart, and {source.name} has "  # type: ignore[index]
            f"{now['classes']}; give the run's own data, or another --out"
        )
    if record["definition"] != json.loads(json.dumps(network_to_dict(network))):
        raise MisuseError(
            f"--resume {folder.path}: the run trains {record['network']}, and its definition is not the one given now "
            f"({network.name}); give another --out"
        )
    if was["fingerprint"] != now["fingerprint"]:  # type: ignore[index]
        raise ConvAtlasError(
            f"--resume {folder.path}: the data has changed since the run began: {was['train']} pictures to train and "  # type: ignore[index]
            f"{was['test']} to test then, {now['train']} and {now['test']} now, or other pictures. Restore it, or give "  # type: ignore[index]
            "another --out to train anew on what is there"
        )


def check_begun(folder: RunFolder, record: Json, start: Start) -> None:
    """MisuseError where the weights that the run began from are needed once more, and not given."""
    if record.get("weights") and start.model is None and not checkpoint.listed(folder.checkpoints):
        raise MisuseError(
            f"--resume {folder.path}: the run has no checkpoint yet and begins from {record['weights']}; give it again "
            "with --weights"
        )


def resizer() -> str:
    """What resizes crops here: our C kernel or torch, which differ by a grey level here and there."""
    return "torch" if resize_kernels().library is None else "C"


def check_kernels(record: Json, plan: Plan, recipe: Recipe, device: torch.device, logs: Logs) -> None:
    """Say that kernels of the run are not there now; ConvAtlasError where the bits were promised."""
    problems = []
    if plan.fused and (why := unfused(device, plan.threads or 1)) is not None:
        problems.append(f"its batch norm ran on fused kernels, which are not there now: {why}")
    before = record.get("resized_by", resizer())
    if before != resizer():
        why = resize_kernels().problem or "they are here now"
        problems.append(f"its crops were resized by {before}, and would be by {resizer()} now: {why}")
    for problem in problems:
        if recipe.deterministic:
            raise ConvAtlasError(
                f"--resume: the run is deterministic, and {problem}. Go on where it began, or give another --out"
            )
        logs.say(f"warning: {problem}; the run goes on, rounded otherwise")


def saver(folder: RunFolder | None, logs: Logs) -> Callable[[checkpoint.State], None]:
    """What writes a checkpoint into the folder, and says so where it could not."""

    def save(state: checkpoint.State) -> None:
        if folder is None:
            return
        try:
            checkpoint.save(folder.checkpoints, state["progress"]["step"], state)  # type: ignore[index]
            folder.write_metrics(state["progress"]["history"])  # type: ignore[index]
        except (checkpoint.CheckpointError, OSError) as error:
            # what was saved before is whole; the run may outlast a full disk
            logs.say(f"warning: {error} (training goes on, and the next checkpoint is tried in its turn)")

    return save


def restore(loop: Loop, folder: RunFolder, logs: Logs) -> None:
    """Bring the loop to where the newest whole checkpoint is; nothing where there is none yet.

    Raises ConvAtlasError where the checkpoint is another network's, MisuseError where checkpoints are gone: beginning
    anew would write over what the run came to.
    """
    found = checkpoint.newest(folder.checkpoints)
    if found is None:
        # a kill between the first epoch's weights and its checkpoint leaves the weights alone: those are made again
        if folder.finished() or folder.metrics.exists() or kept_epoch(folder.weights) not in {None, 1}:
            raise MisuseError(
                f"--resume {folder.path}: the run has come to results, but {folder.checkpoints.name}/ holds no checkpoint "
                "to go on from. Put the checkpoints back, or give another --out to train anew"
            )
        return
    for _, reason in found.broken:
        logs.say(f"warning: {reason}; going on from the one before, {found.path.name}")
    try:
        loop.restore(found.state)
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        text = str(error).partition("\n")[0]
        raise ConvAtlasError(
            f"{found.path}: a checkpoint of another network or another version: {text}. Give another --out to train anew"
        ) from error
    folder.write_metrics(loop.progress.history)
    at = loop.progress
    logs.say(f"going on from step {at.step}: epoch {at.epoch + 1}, batch {at.batch + 1}")
