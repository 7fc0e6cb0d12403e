"""The pictures of a run and its page: learning curves, confusion, the test pictures it got wrong."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from convatlas.data.images import ImageError, read_image
from convatlas.data.sets import Dataset, TensorSet
from convatlas.drawing.contact_sheet import contact_sheet
from convatlas.drawing.page import html_page, paragraph, table
from convatlas.drawing.plots import heat_map, line_chart
from convatlas.training.checkpoint import write_text
from convatlas.training.logs import percent
from convatlas.training.scores import Scores

SHOWN = 64  # wrong pictures on the sheet, the surest mistakes first
FIVE = 5  # guesses that top-5 looks at


def _seconds(value: object) -> str:
    return f"{value:,.1f} s"


def _rate(value: object) -> str:
    return f"{value:,.0f} images a second"


# a key of the summary: what a person calls it, and how its value is written
_WORDS: dict[str, tuple[str, Callable[[object], object]]] = {
    "top1": ("top-1", percent),
    "top5": ("top-5", percent),
    "loss": ("cross-entropy", lambda v: "not tested" if v is None else f"{v:.4f}"),
    "images": ("test pictures", lambda v: f"{v:,}"),
    "wrong": ("of them wrong", lambda v: f"{v:,}"),
    "epochs": ("epochs trained", str),
    "epoch": ("weights of epoch", str),
    "chosen_on": ("chosen on", str),
    "top1_last": ("top-1 after the last epoch", percent),
    "seconds": ("time in all", _seconds),
    "images_per_second": ("speed of training", _rate),
    "waiting": ("of it waiting for pictures", percent),
    "plan": ("computed in", str),
    "train": ("training pictures", lambda v: f"{v:,}"),
    "test": ("test pictures", lambda v: f"{v:,}"),
    "reading_seconds": ("of it reading", _seconds),
    "fit_seconds": ("of it fitting", _seconds),
    "test_images_per_second": ("speed of testing", _rate),
}


def curves(history: Sequence[dict[str, object]]) -> str:
    """Accuracy over epochs, train and test, as an SVG."""
    series = _series(history, {"test": "top1", "training": "train_top1"}, 100)
    return line_chart(series, title="Learning curves", x_label="epoch", y_label="right, %")


def losses(history: Sequence[dict[str, object]]) -> str:
    """Loss over epochs, train and test, as an SVG."""
    series = _series(history, {"test": "loss", "training": "train_loss"}, 1)
    return line_chart(series, title="Loss", x_label="epoch", y_label="cross-entropy", log_y=True)


def _series(
    history: Sequence[dict[str, object]], keys: dict[str, str], times: float
) -> dict[str, list[tuple[float, float]]]:
    """Points (epoch, value) under each label; NaN, at which a curve breaks, where an epoch has no such number.

    A label without any is left out.
    """
    found = {
        label: [
            (float(line["epoch"]), math.nan if line[key] is None else times * float(line[key]))  # type: ignore[arg-type]
            for line in history
        ]
        for label, key in keys.items()
    }
    return {
        label: points for label, points in found.items() if any(not math.isnan(value) for _, value in points)
    }


def wrong_sheet(scores: Scores, dataset: Dataset) -> str:
    """The pictures that were taken for something else: what they are, and how surely they were taken for what.

    The number comes first, since a long name is cut.
    """
    chosen = sorted(scores.wrong, key=lambda w: -w[2])[:SHOWN]
    pictures = []
    for index, guess, sure in chosen:
        data = _png(dataset, index)
        if data is not None:
            true = dataset.classes[int(dataset.labels[index])]
            pictures.append((data, f"{true}\n{sure:.0%} {dataset.classes[guess]}"))
    some = f", the {len(pictures)} surest" if len(pictures) < len(scores.wrong) else ""
    return contact_sheet(
        pictures, title=f"{len(scores.wrong)} of {scores.images} test pictures taken for something else{some}"
    )


def _png(dataset: Dataset, index: int) -> bytes | None:
    from PIL import Image

    if isinstance(dataset, TensorSet):
        pixels = dataset.images[index]
        array = (pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)).contiguous().numpy()
        image = Image.fromarray(array)
    else:
        try:
            image = read_image(dataset.read(index), dataset.label_of(index))
        except ImageError:
            return None
        image.thumbnail((96, 96))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def facts(summary: dict[str, object], classes: int) -> list[tuple[str, object]]:
    """The summary in words, with units. Of five classes and fewer the first five guesses are always right: no top-5."""
    shown = []
    for key, value in summary.items():
        if isinstance(value, (dict, list)) or (key == "top5" and classes <= FIVE):
            continue
        label, form = _WORDS.get(key, (key, str))
        shown.append((label, form(value)))
    return shown


def write(
    folder: Path,
    history: Sequence[dict[str, object]],
    scores: Scores,
    dataset: Dataset,
    summary: dict[str, object],
    record: dict[str, object],
) -> Path:
    """curves.svg, confusion.svg, wrong.svg and report.html, one file that needs no other; the page's path."""
    figures = {
        "curves.svg": curves(history),
        "confusion.svg": heat_map(
            scores.confusion.tolist(), dataset.classes, title="Confusion of the test set"
        ),
        "wrong.svg": wrong_sheet(scores, dataset),
    }
    for name, text in figures.items():
        write_text(folder / name, text)
    recipe = record.get("recipe", {})
    settings = [(k, json.dumps(v) if isinstance(v, (dict, list)) else v) for k, v in recipe.items()]  # type: ignore[attr-defined]
    epochs = [
        (
            line["epoch"],
            round(float(line["train_loss"]), 4),  # type: ignore[arg-type]
            percent(line["train_top1"]),
            "–" if line["loss"] is None else round(float(line["loss"]), 4),  # type: ignore[arg-type]
            percent(line["top1"]),
            round(float(line["seconds"]), 2),  # type: ignore[arg-type]
        )
        for line in history
    ]
    skipped = [(s["path"], s["reason"]) for s in summary["skipped"]]  # type: ignore[attr-defined]
    left_out = [("Left out: could not be read", table(("path", "reason"), skipped))] if skipped else []
    page = html_page(
        f"{summary['network']} on {summary['data']}: {percent(summary['top1'])}",
        [
            ("Result", table(("", ""), facts(summary, len(dataset.classes)))),
            ("Learning", figures["curves.svg"]),
            ("", losses(history)),
            ("", table(("epoch", "training loss", "training", "test loss", "test", "seconds"), epochs)),
            ("Confusion", figures["confusion.svg"]),
            ("Taken for something else", figures["wrong.svg"]),
            *left_out,
            ("Recipe", table(("field", "value"), settings)),
            ("Made with", table(("", ""), list(record.get("versions", {}).items()))),  # type: ignore[attr-defined]
            (
                "",
                paragraph(
                    "The whole record is in recipe.json and metrics.jsonl beside this page.", muted=True
                ),
            ),
        ],
    )
    path = folder / "report.html"
    write_text(path, page)
    return path
