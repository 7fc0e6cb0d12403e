"""`convatlas train hog+svm`: a classical baseline on the data of a network's run, in a folder like a network's run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
from torch import Tensor

from convatlas.data import DataSource, FileSet, Loader, TensorSet, open_data
from convatlas.data.sets import Dataset
from convatlas.drawing.page import html_page, paragraph, table
from convatlas.drawing.plots import heat_map
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.evaluation.classic.model import FILE, answers, fit, parse, reading, save
from convatlas.evaluation.scores import score
from convatlas.training import scores as network_scores
from convatlas.training.checkpoint import write_text
from convatlas.training.hold import held, reserved
from convatlas.training.logs import Logs, Talk
from convatlas.training.record import check_seed
from convatlas.training.report import facts, wrong_sheet
from convatlas.training.run import Json, RunFolder, check_free, versions

PHOTO_SIDE = 64  # photos are brought to this size: descriptors by hand look at shape, not at detail


def train(
    name: str,
    data: str = "digits",
    *,
    data_root: Path | None = None,
    out: Path | None = None,
    input: tuple[int, int, int] | None = None,
    limit: int | None = None,
    seed: int = 0,
    logs: Logs | None = None,
) -> Json:
    """Fit and score a baseline; the summary. limit: so many training pictures at most, drawn by the seed."""
    parse(name)
    check_seed(seed)
    size = (input[1], input[2]) if input else (PHOTO_SIDE, PHOTO_SIDE)
    with reserved(Path("runs"), name, data, out) as path, held(path):
        folder = RunFolder(path)
        check_free(folder)
        source = open_data(data, root=data_root, seed=seed)
        return _train(name, source, folder, size, limit, seed, logs or Talk())


def _train(
    name: str,
    source: DataSource,
    folder: RunFolder,
    size: tuple[int, int],
    limit: int | None,
    seed: int,
    talk: Logs,
) -> Json:
    for note in source.notes:
        talk.say(note)
    start = time.perf_counter()
    chosen = _some(source.train, limit, seed)
    images, labels, _ = _pixels(chosen, size)
    tested, truth, places = _pixels(source.test, size)
    read = time.perf_counter()
    record: Json = {
        "network": name,
        "recipe": {"name": "classical baseline", "limit": limit, "pictures": list(images.shape[1:])},
        "data": source.record(),
        "seed": seed,
        "versions": versions(),
    }
    folder.start(record)
    talk.say(f"{name} on {len(images):,} pictures of {source.name}")
    model = fit(name, images, labels, len(source.classes), seed)
    fitted = time.perf_counter()
    found = answers(model, tested)
    done = time.perf_counter()
    scores = score(found, truth, source.classes)
    summary: Json = {
        "network": name,
        "data": source.name,
        "top1": scores.top1,
        "top5": scores.top5,
        "train": len(images),
        "test": scores.images,
        "epochs": 1,
        "seconds": round(done - start, 3),
        "reading_seconds": round(read - start, 3),
        "fit_seconds": round(fitted - read, 3),
        "images_per_second": round(len(images) / (fitted - read), 1),
        "test_images_per_second": round(scores.images / (done - fitted), 1),
        "seed": seed,
        "weights": str(folder.path / FILE),
    }
    save(folder.path / FILE, model, source.classes, {"top1": scores.top1}, source.record())
    folder.write_metrics(
        [{"epoch": 1, "top1": scores.top1, "top5": scores.top5, "seconds": summary["seconds"]}]
    )
    guesses = found.argmax(1)
    wrong = tuple(
        (int(places[i]), int(guesses[i]), float(found[i].softmax(0)[guesses[i]]))
        for i in (guesses != truth).nonzero().flatten().tolist()
    )
    _write_page(folder, source, summary, record, network_scores.Scores(
        scores.images, float("nan"), scores.top1, scores.top5, scores.confusion, wrong))  # fmt: skip
    write_text(folder.summary, json.dumps(summary, indent=2, allow_nan=False) + "\n")
    talk.say(f"{name}: top-1 {scores.top1:.2%} of {scores.images:,}, {summary['seconds']} s")
    return summary


def _some(dataset: Dataset, limit: int | None, seed: int) -> Dataset:
    if limit is None or limit >= len(dataset):
        return dataset
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))
    return dataset.subset(sorted(order[:limit].tolist()))


def _pixels(dataset: Dataset, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """uint8 (N, C, H, W), labels, and where each stands in the set; what cannot be read is left out."""
    if isinstance(dataset, TensorSet):
        return dataset.images, dataset.labels, torch.arange(len(dataset))
    assert isinstance(dataset, FileSet)
    loader = Loader(dataset, 64, None, channels=3, preprocessing=reading((3, *size)))
    parts = [part for part in loader.batches(0) if len(part[0])]
    if not parts:
        raise ConvAtlasError(f"{dataset.name}: no picture could be read")
    images, labels, places = (torch.cat([part[k].clone() for part in parts]) for k in range(3))
    return images.contiguous(), labels, places


def _write_page(
    folder: RunFolder, source: DataSource, summary: Json, record: Json, scores: network_scores.Scores
) -> None:
    confusion = heat_map(scores.confusion.tolist(), source.classes, title="Confusion of the test set")
    wrong = wrong_sheet(scores, source.test)
    write_text(folder.path / "confusion.svg", confusion)
    write_text(folder.path / "wrong.svg", wrong)
    page = html_page(
        f"{summary['network']} on {summary['data']}: {float(str(summary['top1'])):.2%}",
        [
            ("Result", table(("", ""), facts(summary, len(source.classes)))),
            ("Confusion", confusion),
            ("Taken for something else", wrong),
            ("Made with", table(("", ""), list(record["versions"].items()))),  # type: ignore[attr-defined]
            ("", paragraph("The whole record is in recipe.json beside this page.", muted=True)),
        ],
    )
    write_text(folder.path / "report.html", page)


def refuse(what: dict[str, object]) -> None:
    """MisuseError for options that only a network has."""
    given = [name for name, value in what.items() if value]
    if given:
        raise MisuseError(
            f"{', '.join(given)}: a classical baseline has no such thing; it takes --data, --limit, --seed, --out"
        )
