"""From what a user names, a network, data, weights and a recipe, to a finished run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from convatlas.data import DataSource, open_data
from convatlas.define import Network, elaborate, scale_width, with_input
from convatlas.networks import catalogue
from convatlas.recipes import default
from convatlas.recipes import recipe as named
from convatlas.training.distributed import told
from convatlas.training.finetune import begin
from convatlas.training.fit import fit
from convatlas.training.hold import reserved
from convatlas.training.logs import Logs, Talk, TensorBoard
from convatlas.training.recipe import Recipe, override
from convatlas.training.record import check_seed
from convatlas.training.run import Json, RunFolder, next_folder
from convatlas.training.start import Start


def train(
    network: str,
    data: str = "digits",
    *,
    data_root: Path | None = None,
    weights: str | None = None,
    recipe: str | None = None,
    settings: Mapping[str, str] | None = None,
    input: tuple[int, int, int] | None = None,
    width: float | None = None,
    out: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    seed: int | None = None,
    tensorboard: bool = False,
    logs: Logs | None = None,
) -> Json | None:
    """Train as the command line does; the summary, or None in a worker that is not the first.

    out: default runs/NETWORK-DATA-N. Under torchrun a worker that was restarted resumes by itself.
    """
    definition = catalogue.network(network)
    if width is not None:
        definition = scale_width(definition, width)
    if input is not None:
        definition = with_input(definition, input)
    chosen = named(recipe) if recipe else default(network, data, weights=weights is not None)
    chosen = override(chosen, settings or {})
    check_seed(seed or 0)
    restarted = told("TORCHELASTIC_RESTART_COUNT", 0) > 0
    rank = told("RANK", 0)
    if out is None and (rank or restarted):
        # of several workers the first one's choice holds; those that were restarted go on where they were
        out = next_folder(Path("runs"), network, data, last=restarted)
    talk = logs or Talk()
    # a run that is gone on with splits the pictures as it began, whatever is left out now
    begun = RunFolder(out).split() if out is not None and (resume or restarted) else {}
    split = begun if seed is None else {**begun, "seed": seed}
    source = open_data(data, root=data_root, **split)  # type: ignore[arg-type]
    for note in source.notes:
        talk.say(note)
    start = _start(definition, source, weights, chosen)
    for note in start.notes:
        talk.say(f"{weights}: {note}")
    asked = _asked(chosen, settings or {}, network, weights, seed)
    with reserved(Path("runs"), network, data, out) as out:
        outcome = fit(
            start,
            source,
            chosen,
            out=out,
            seed=seed or 0,
            device=device,
            resume=resume or restarted,
            asked=asked,
            logs=TensorBoard(talk, out / "tensorboard") if tensorboard and rank == 0 else talk,
        )
    return outcome.summary if rank == 0 else None


def _asked(
    recipe: Recipe, settings: Mapping[str, str], network: str, weights: str | None, seed: int | None
) -> dict[str, object]:
    """What the user wrote, and a resumed run must agree with."""
    fields = recipe.to_dict()
    pictures = dataclasses.asdict(recipe.augmentation)
    asked: dict[str, object] = {"network": network}
    if weights is not None:
        asked["weights"] = Path(weights).name
    if seed is not None:
        asked["seed"] = seed
    for written in settings:
        name = written.replace("-", "_").removeprefix("augmentation.")
        if name == "checkpoint_minutes":
            continue
        if name in fields:
            asked[f"recipe.{name}"] = fields[name]
        elif name in pictures:
            asked[f"recipe.augmentation.{name}"] = pictures[name]
    return asked


def _start(definition: Network, source: DataSource, weights: str | None, recipe: Recipe) -> Start:
    elaborate(definition)
    if weights is None:
        return Start(definition)
    return begin(definition, source, weights, recipe)
