"""All methods on all photos: a picture file each, and one page that holds everything."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import torch

from convatlas.data.images import ImageError
from convatlas.data.pixels import normalize
from convatlas.data.seen import seen_pixels
from convatlas.drawing.contact_sheet import contact_sheet
from convatlas.drawing.files import write
from convatlas.drawing.page import html_page, paragraph
from convatlas.drawing.raster import data_uri
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.explain import pictures as draw
from convatlas.explain.methods import METHODS, Asked, Method, Sheet, check
from convatlas.explain.subject import Photo, Subject, subject_of
from convatlas.weights.classifier import Classifier

Talk = Callable[[str], None]


def look(classifier: Classifier, path: str) -> Photo:
    """A picture file as the network sees it, and what the network says of it; ImageError where it cannot be read."""
    pixels = seen_pixels(path, classifier.network.input, classifier.preprocessing, classifier.provenance)
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(classifier.device)
    x = normalize(images, classifier.preprocessing)
    with torch.inference_mode():
        probabilities = classifier.model(x).float().softmax(1)[0].cpu()
    return Photo(path, pixels, x.clone(), probabilities.clone())


def explain(
    classifier: Classifier,
    photos: Sequence[str],
    out: Path,
    methods: Sequence[str] = (),
    asked: Asked | None = None,
    *,
    ending: str = "svg",
    say: Talk = lambda _text: None,
) -> dict[str, object]:
    """Write a contact sheet a method (svg or png) and explain.html into `out`; what was found, JSON-able.

    methods: names of METHODS, all by default. A photo that cannot be read is told and left out; ConvAtlasError where
    none could be, MisuseError for what cannot be asked.
    """
    asked = asked or Asked()
    chosen = {name: _method(name) for name in methods or METHODS}
    if not photos and any(method.of_photo for method in chosen.values()):
        without = ", ".join(name for name, method in METHODS.items() if not method.of_photo)
        raise MisuseError(f"give a photo to look at; without one there are --method {without}")
    subject = subject_of(classifier)
    check(asked, subject)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MisuseError(f"--out {out}: cannot be made a folder: {error.strerror}") from error
    seen: list[Photo] = []
    skipped: list[tuple[str, str]] = []
    for path in photos:
        try:
            seen.append(look(classifier, path))
        except ImageError as error:
            skipped.append((path, error.reason))
            say(f"{path}: left out: {error.reason}")
    if photos and not seen:
        raise ConvAtlasError(
            "no photo could be read: " + "; ".join(f"{path}: {reason}" for path, reason in skipped)
        )
    work = _Work(subject, asked, out, ending, say)
    views: Sequence[Photo | None] = seen or [None]
    # what needs no photo is made once: with the first photo, whose classes and rows it then takes
    told = [
        work.view(view, {k: m for k, m in chosen.items() if m.of_photo or not i})
        for i, view in enumerate(views)
    ]
    page = out / "explain.html"
    page.write_text(html_page(f"What {subject.name} sees", work.sections), encoding="utf-8")
    return {
        "network": subject.name,
        "weights": classifier.weights,
        "photos": told,
        "skipped": [{"path": path, "reason": reason} for path, reason in skipped],
        "page": str(page),
    }


def _method(name: str) -> Method:
    if name not in METHODS:
        raise MisuseError(f"--method {name}: there are {', '.join(METHODS)}")
    return METHODS[name]


class _Work:
    """One report in the making: its sections grow photo by photo."""

    def __init__(self, subject: Subject, asked: Asked, out: Path, ending: str, say: Talk) -> None:
        self.subject, self.asked, self.out, self.ending, self.say = subject, asked, out, ending, say
        self.sections: list[tuple[str, str]] = []
        self._names: set[str] = set()

    def view(self, photo: Photo | None, methods: dict[str, Method]) -> dict[str, object]:
        stem = self._stem(photo)
        told: dict[str, object] = {}
        if photo is not None:
            best = photo.best()
            told["path"] = photo.name
            told["predictions"] = [
                {
                    "label": self.subject.classes[i],
                    "index": i,
                    "probability": round(float(photo.probabilities[i]), 6),
                }
                for i in best
            ]
            self.sections.append((Path(photo.name).name, _photo_html(self.subject, photo)))
        made: dict[str, object] = {}
        for name, method in methods.items():
            start = time.perf_counter()
            sheet = method.make(self.subject, photo, self.asked, self._progress(name))
            file = self._write(sheet, method, f"{stem}{name}")
            seconds = time.perf_counter() - start
            self.say(f"{name}: {file} ({seconds:.1f} s)")
            self.sections.append((method.title, _sheet_html(sheet, method)))
            made[name] = {"file": str(file), "seconds": round(seconds, 2), **sheet.facts}
        told["methods"] = made
        return told

    def _write(self, sheet: Sheet, method: Method, stem: str) -> Path:
        title = f"{method.title}: {self.subject.name}"
        svg = contact_sheet(sheet.pictures, title=title, columns=sheet.columns, side=sheet.side)
        return write(svg, self.out / f"{stem}.{self.ending}")

    def _stem(self, photo: Photo | None) -> str:
        if photo is None:
            return ""
        plain = re.sub(r"[^\w.-]+", "_", Path(photo.name).stem) or "photo"
        stem, number = plain, 2
        while stem in self._names:
            stem, number = f"{plain}-{number}", number + 1
        self._names.add(stem)
        return f"{stem}-"

    def _progress(self, name: str) -> Callable[[int, int], None]:
        last = time.perf_counter()

        def tell(done: int, total: int) -> None:
            nonlocal last
            if time.perf_counter() - last > 10 and done < total:
                last = time.perf_counter()
                self.say(f"{name}: {done} of {total}")

        return tell


def _photo_html(subject: Subject, photo: Photo) -> str:
    picture = data_uri(draw.png(draw.enlarged(draw.photo(photo.pixels), 224)))
    bars = "".join(
        f'<div style="display:grid;grid-template-columns:1fr 4.5rem;gap:.75rem;align-items:center;margin:.35rem 0">'
        f'<div style="position:relative;background:var(--ca-band);border-radius:4px;padding:.2rem .6rem;overflow:hidden">'
        f'<div style="position:absolute;inset:0 auto 0 0;width:{100 * float(photo.probabilities[i]):.2f}%;'
        f'background:var(--ca-conv)"></div><span style="position:relative">{escape(subject.classes[i])}</span></div>'
        f'<span style="text-align:right">{float(photo.probabilities[i]):.1%}</span></div>'
        for i in photo.best()
    )
    return (
        '<div style="display:grid;grid-template-columns:minmax(8rem,14rem) 1fr;gap:1.5rem;align-items:center">'
        f'<img src="{picture}" alt="{escape(Path(photo.name).name)}" style="width:100%;border-radius:6px">'
        f"<div>{bars}</div></div>"
    )


def _sheet_html(sheet: Sheet, method: Method) -> str:
    figures = "\n".join(
        f'<figure><img src="{data_uri(data)}" alt="{escape(caption)}" style="width:100%;border-radius:4px">'
        f"<figcaption>{escape(caption).replace(chr(10), '<br>')}</figcaption></figure>"
        for data, caption in sheet.pictures
    )
    columns = f"repeat(auto-fill,minmax(min(100%,{min(sheet.side, 700) / 16 * 0.92:.1f}rem),1fr))"
    parts = [paragraph(method.text)]
    if sheet.note:
        parts.append(paragraph(sheet.note))
    parts.append(f'<div style="display:grid;grid-template-columns:{columns};gap:1rem">\n{figures}\n</div>')
    parts.append(paragraph(method.paper, muted=True))
    return "\n".join(parts)
