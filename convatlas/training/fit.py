"""Train a network on a data source by a recipe: the one entry, from Python and from the command line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from convatlas.data.loader import Loader
from convatlas.data.sets import Dataset, FileSet
from convatlas.data.sources import DataSource
from convatlas.define import Network
from convatlas.define.preprocessing import Preprocessing
from convatlas.define.serialize import network_to_dict
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.modules import build
from convatlas.training.average import Average
from convatlas.training.best import Best
from convatlas.training.distributed import Worker, agree, joined, same, wrap
from convatlas.training.finish import Outcome, finish
from convatlas.training.hold import held
from convatlas.training.logs import Logs
from convatlas.training.loop import Interrupted, Loop, Stop
from convatlas.training.measure import choose
from convatlas.training.optimizer import make, suit_classifier
from convatlas.training.plan import Plan
from convatlas.training.recipe import Recipe
from convatlas.training.record import check_seed
from convatlas.training.resuming import check_begun, check_kernels, check_same, resizer, restore, saver
from convatlas.training.run import Json, RunFolder, check_agrees, check_free, versions
from convatlas.training.schedule import side_at
from convatlas.training.split import hold_out
from convatlas.training.start import Start
from convatlas.training.step import Stepper
from convatlas.training.suit import check_sides, preprocessing_for, suited, test_batch
from convatlas.training.sync_norm import synchronize_norms
from convatlas.training.unreadable import filled, first_readable
from convatlas.training.warm_up import warm_up


def fit(
    network: Network | Start,
    source: DataSource,
    recipe: Recipe,
    *,
    out: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    asked: Mapping[str, object] | None = None,
    logs: Logs | None = None,
) -> Outcome:
    """Train and return what came of it; with `out`, in a run folder that a crash cannot take: that of worker 0.

    resume: go on with the run in `out`, start it where there is none; `asked` are the options that the user wrote
    and that must not contradict it. Raises MisuseError on options that cannot be, Diverged when the loss is no
    number, Interrupted when a signal asked to stop and all is saved.
    """
    start = network if isinstance(network, Start) else Start(network)
    logs = logs or Logs()
    with joined(device) as worker:
        quiet = logs if worker.first else Logs()
        try:
            # a folder chosen as the next free one may be another in each worker
            out = agree(worker, out)  # type: ignore[assignment]
            with held(out if worker.first else None), _as_it_was():
                return _fit(start, source, recipe, out, seed, resume, asked or {}, quiet, worker)
        except RuntimeError as error:
            if worker.world > 1 and ("Connection" in str(error) or isinstance(error, dist.DistError)):
                raise ConvAtlasError(
                    f"worker {worker.rank} lost the others: {str(error).splitlines()[0]}. torchrun --max-restarts starts "
                    "them again from the last checkpoint; --resume does so by hand"
                ) from error
            raise
        finally:
            quiet.close()


@contextmanager
def _as_it_was() -> Iterator[None]:
    """What a run sets for the whole process comes back: it is the caller's."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warning = torch.is_deterministic_algorithms_warn_only_enabled()
    tuned, threads = torch.backends.cudnn.benchmark, torch.get_num_threads()
    try:
        yield
    finally:
        if torch.are_deterministic_algorithms_enabled():  # only then: the call imports torch's compiler
            torch.use_deterministic_algorithms(deterministic, warn_only=warning)
        torch.backends.cudnn.benchmark = tuned
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _fit(
    start: Start,
    source: DataSource,
    recipe: Recipe,
    out: Path | None,
    seed: int,
    resume: bool,
    asked: Mapping[str, object],
    logs: Logs,
    worker: Worker,
) -> Outcome:
    began = time.perf_counter()
    folder = None if out is None else RunFolder(out)
    old = folder.record() if folder is not None and resume and folder.exists() else None
    if folder is not None and not resume and worker.first:
        check_free(folder)
    if old is not None and folder is not None:
        check_agrees(folder, old, asked)
        recipe, seed = Recipe.from_dict(old["recipe"]), int(old["seed"])  # type: ignore[arg-type,call-overload]
    check_seed(seed)
    net = suited(start.network, source)
    check_sides(net, recipe)
    preprocessing = start.preprocessing or preprocessing_for(net, source)
    provenance = dict(start.provenance or {})
    if old is not None and folder is not None:
        # those of the weights that it began from, which need not be given again
        check_begun(folder, old, start)
        preprocessing = Preprocessing.from_dict(old["preprocessing"])  # type: ignore[arg-type]
        provenance = dict(old.get("provenance", provenance))  # type: ignore[call-overload]
    given = source
    source, chosen_on = hold_out(source, recipe.holdout, seed)
    if recipe.deterministic:
        # cuBLAS reads it when it is first used, and torch refuses to be deterministic without
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    model = start.model if start.model is not None else build(net)
    model = model.to(worker.device)
    if len(source.train) == 0:
        raise ConvAtlasError(f"{source.name}: no pictures to train on")

    def train(epoch: int) -> Loader:
        side = side_at(recipe, net.input[1], epoch)
        if side not in loaders:
            size = (side, side * net.input[2] // net.input[1])
            loaders.clear()
            loaders[side] = Loader(
                source.train, recipe.batch // worker.world, size, True, recipe.augmentation, seed,
                channels=net.input[0], preprocessing=preprocessing, device=worker.device,
                shard=(worker.rank, worker.world),
            )  # fmt: skip
        return loaders[side]

    loaders: dict[int, Loader] = {}
    if recipe.batch % worker.world:
        raise MisuseError(
            f"a batch of {recipe.batch} cannot be shared by {worker.world} workers; --batch needs a multiple"
        )
    if recipe.replicas > 1 and worker.world > 1:
        raise MisuseError(
            f"replicas={recipe.replicas} in {worker.world} workers: each worker is a replica already; --replicas 1"
        )

    def scored(part: Dataset) -> Loader:
        return Loader(
            part, test_batch(net), (net.input[1], net.input[2]), channels=net.input[0], preprocessing=preprocessing,
            device=worker.device, shard=(worker.rank, worker.world),
        )  # fmt: skip

    test = scored(source.test)
    if old is not None:
        plan = Plan.from_dict(old["plan"])  # type: ignore[arg-type]
        measured: dict[str, float] = {}
        check_same(folder, old, net, source)  # type: ignore[arg-type]
        check_kernels(old, plan, recipe, worker.device, logs)
        if recipe.deterministic and worker.device.type == "cpu" and plan.replicas == 1 and plan.threads:
            torch.set_num_threads(plan.threads)
    else:
        found = None
        if worker.first:  # another may have no pictures in its share
            readable = first_readable(train(recipe.epochs))
            first = filled(readable, min(2 * recipe.accumulate, recipe.batch // worker.world))
            found = choose(
                model,
                recipe,
                preprocessing,
                len(source.classes),
                worker.device,
                first.images,
                first.labels,
                recipe.epochs * len(source.train),
            )
        plan, measured = agree(worker, found)  # type: ignore[misc]
    if worker.device.type == "cuda":
        torch.backends.cudnn.benchmark = plan.tuned and not recipe.deterministic
    record: Json = old or {
        "network": net.name,
        "definition": network_to_dict(net),
        "data": source.record(),
        "chosen_on": chosen_on,
        "seed": seed,
        "recipe": recipe.to_dict(),
        "plan": plan.to_dict(),
        "measured": measured,
        # of sets that lie in memory no crop is resized
        **({"resized_by": resizer()} if isinstance(source.train, FileSet) else {}),
        "preprocessing": preprocessing.to_dict(),
        "weights": provenance.get("from"),
        "provenance": provenance,
        "versions": versions(),
    }
    if folder is not None and old is None and worker.first:
        folder.start(record)
    logs.say(
        f"{net.name} on {source.name}: {len(source.train):,} to train, {len(source.test):,} to test; {plan.describe()}"
    )
    if recipe.sync_batchnorm and worker.world > 1:
        model = synchronize_norms(model, worker.device)
    stepper = Stepper(model, recipe, plan, preprocessing, len(source.classes), worker.device)
    if worker.world > 1:
        stepper.tasks = [wrap(stepper.tasks[0], worker)]
    average = Average(model, recipe.ema) if recipe.ema else None
    best = Best(folder, net, preprocessing, source, provenance, recipe, logs)
    with Stop().listening() as stop:
        loop = Loop(
            recipe, seed, stepper, make(model, recipe), average, train, test, len(source.classes), worker, logs,
            saver(folder, logs), best.keep, stop=stop,
        )  # fmt: skip
        if folder is not None and resume:
            restore(loop, folder, logs)
            best.take_up(loop.progress)
        if loop.progress.step == 0 and start.head and recipe.head_epochs:
            _warm(loop, start.head, start.old, net, source, logs)
        if loop.progress.seconds == 0:
            loop.progress.seconds = time.perf_counter() - began
        try:
            loop.run()
        except Interrupted as stopped:
            if folder is not None:
                raise Interrupted(
                    f"{stopped}. To go on: the same command with --resume --out {folder.path}",
                    stopped.exit_code - 128,
                ) from None
            raise
        finally:
            stepper.close()
    # what was kept back for choosing has done its work: the score is that of the test set
    return finish(loop, best, folder, record, scored(given.test) if recipe.holdout else test, logs)


def _warm(
    loop: Loop, head: str, old: Mapping[str, Tensor] | None, network: Network, source: DataSource, logs: Logs
) -> None:
    """The head alone, on features computed once; then the optimizer starts anew."""
    began = time.perf_counter()
    loader = Loader(
        source.train, loop.test.batch_size, (network.input[1], network.input[2]), channels=network.input[0],
        preprocessing=loop.stepper.preprocessing, device=loop.worker.device,
    )  # fmt: skip
    share, size = warm_up(loop.stepper, loader, head, loop.recipe, loop.seed, logs, old)
    # workers computed the same, but for the rounding of what threads add up
    same(loop.worker, loop.stepper.model.state_dict().values())
    suit_classifier(loop.optimizer, float(agree(loop.worker, size)))  # type: ignore[arg-type]
    seconds = time.perf_counter() - began
    logs.say(
        f"head warmed up from row {head!r} on, on cached features: training {share:.2%}, {seconds:.1f} s"
    )
