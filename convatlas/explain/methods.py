"""The methods by name: what each shows, after which paper, and the pictures it makes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from convatlas.drawing.contact_sheet import Picture
from convatlas.errors import MisuseError
from convatlas.explain import pictures as draw
from convatlas.explain.deconvnet import deconvnet as carried_back
from convatlas.explain.feature_maps import feature_maps, most_excited
from convatlas.explain.filters import first_filters, first_row
from convatlas.explain.grad_cam import grad_cam
from convatlas.explain.gradients import guided_backpropagation, input_gradient
from convatlas.explain.maximize import maximize, of_channels, of_classes
from convatlas.explain.occlusion import occlusion
from convatlas.explain.rows import cam_row, find_row, rows_by_resolution, unbranched
from convatlas.explain.subject import Photo, Subject

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Asked:
    """What the user chose; None leaves the choice to the method. patch and stride in pixels."""

    row: str | None = None
    index: int | None = None
    unit: int | None = None
    patch: int | None = None
    stride: int | None = None
    steps: int = 160
    seed: int = 0
    batch: int = 32


@dataclass(frozen=True)
class Sheet:
    """Captioned pictures of one method; `note` is what is particular to this network, `facts` go into the JSON."""

    pictures: list[Picture]
    columns: int
    note: str = ""
    facts: dict[str, object] = field(default_factory=dict)
    side: float = 150


@dataclass(frozen=True)
class Method:
    """of_photo: whether it needs one. `text` is two sentences, `paper` what they rest on."""

    title: str
    text: str
    paper: str
    make: Callable[[Subject, Photo | None, Asked, Progress], Sheet]
    of_photo: bool = True


def _class(photo: Photo, asked: Asked) -> int:
    return photo.best(1)[0] if asked.index is None else asked.index


def _said(subject: Subject, photo: Photo, index: int) -> str:
    return f"{subject.classes[index]} ({float(photo.probabilities[index]):.1%})"


def _filters(subject: Subject, photo: Photo | None, asked: Asked, progress: Progress) -> Sheet:
    row = first_row(subject.elaborated)
    filters = first_filters(subject.model, subject.elaborated)
    shown = [draw.enlarged(draw.signed(f, reversed=subject.reversed), 48) for f in filters]
    count, channels, height, width = filters.shape
    columns = 16 if count > 64 else 8 if count > 9 else count
    picture = draw.png(draw.mosaic(shown, columns))
    name = f"{row}: {count} filters of {height}×{width}" + (
        f" over {channels} channels" if channels > 1 else ""
    )
    return Sheet([(picture, name)], 1, facts={"row": row, "filters": count}, side=min(720, 60 * columns))


def _maps(subject: Subject, photo: Photo | None, asked: Asked, progress: Progress) -> Sheet:
    assert photo is not None
    rows = [asked.row] if asked.row else rows_by_resolution(subject.elaborated)
    for row in rows:
        find_row(subject.elaborated, row)
    found = feature_maps(subject, photo.input, rows)
    sheet = []
    if asked.row:
        maps = found[asked.row]
        for channel in [asked.unit] if asked.unit is not None else most_excited(maps, 48):
            picture = draw.enlarged(draw.shade(maps[channel]), 112)
            sheet.append((draw.png(picture), f"channel {channel}\nup to {float(maps[channel].max()):.3g}"))
        return Sheet(sheet, 8, facts={"row": asked.row, "shape": list(maps.shape)}, side=112)
    for row, maps in found.items():
        best = most_excited(maps, 16)
        tiles = [draw.enlarged(draw.shade(maps[c]), 64) for c in best]
        size, columns = "×".join(map(str, maps.shape)), math.ceil(math.sqrt(len(tiles)))
        sheet.append(
            (
                draw.png(draw.mosaic(tiles, columns)),
                f"{row}: {size}\nchannels {', '.join(map(str, best[:6]))}...",
            )
        )
    note = "Of each row the 16 channels with the highest activation; --row NAME shows more of one."
    return Sheet(sheet, _columns(sheet), note, {"rows": rows}, side=240)


def _deconvnet(subject: Subject, photo: Photo | None, asked: Asked, progress: Progress) -> Sheet:
    assert photo is not None
    rows = [asked.row] if asked.row else rows_by_resolution(subject.elaborated)
    for row in rows:
        find_row(subject.elaborated, row)
    maps = feature_maps(subject, photo.input, rows)
    sheet: list[Picture] = []
    for i, row in enumerate(rows):
        channels = [asked.unit] if asked.unit is not None else most_excited(maps[row], 8)
        seen = carried_back(subject.model, subject.elaborated, photo.input, row, channels)
        pairs = [_patch_pair(subject, photo, signal) for signal in seen]
        # rows of what the activations look back on, each above its row of the photo, as in the paper's Fig. 2
        wide = 3 if len(pairs) in (3, 5, 6) else min(4, len(pairs))
        picture = draw.mosaic(_in_pairs_of_rows(pairs, wide), wide)
        sheet.append((draw.png(picture), f"{row}\nchannels {', '.join(map(str, channels))}"))
        progress(i + 1, len(rows))
    plain = all(unbranched(subject.elaborated, row) for row in rows)
    note = (
        "The layers up to these rows stand in series: switches, rectifiers and transposed convolutions, as in the paper."
        if plain
        else "This network branches, which the paper's did not: the signal is had as a gradient whose rectifiers pass "
        "what is positive, the same thing on a series; where branches meet, their signals are added."
    )
    note = f"Above what a channel's activation looks back on, below that part of the photo. {note}"
    return Sheet(sheet, _columns(sheet), note, {"rows": rows, "series": plain}, side=260)


def _columns(sheet: list[Picture]) -> int:
    """Three, or two where three would leave one alone."""
    return 2 if len(sheet) in (2, 4) else 3


def _in_pairs_of_rows(pairs: list[list[Image.Image]], wide: int) -> list[Image.Image | None]:
    """A row of the pairs' first pictures above a row of their second ones, and so on; a last row may have gaps."""
    tiles: list[Image.Image | None] = []
    for start in range(0, len(pairs), wide):
        part = pairs[start : start + wide]
        for k in (0, 1):
            tiles += [pair[k] for pair in part]
            tiles += [None] * (wide - len(part))
    return tiles


def _patch_pair(subject: Subject, photo: Photo, signal: Tensor) -> list[Image.Image]:
    """The reconstruction and the photo, both cut to where the reconstruction is, in squares of one size."""
    ink = signal.abs().amax(0)
    lit = ink > 0.02 * float(ink.max())
    height, width = ink.shape
    top, bottom, left, right = 0, height, 0, width
    if bool(lit.any()):
        rows, columns = lit.any(1).nonzero().flatten(), lit.any(0).nonzero().flatten()
        top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    side = min(max(bottom - top, right - left, 9), height, width)
    top = max(0, min((top + bottom - side) // 2, height - side))
    left = max(0, min((left + right - side) // 2, width - side))
    part = signal[:, top : top + side, left : left + side]
    image = draw.signed(part, reversed=subject.reversed, sharp=0.995)
    below = draw.photo(photo.pixels).crop((left, top, left + side, top + side))
    return [one.resize((112, 112), Image.Resampling.NEAREST) for one in (image, below)]


def _occlusion(subject: Subject, photo: Photo | None, asked: Asked, progress: Progress) -> Sheet:
    assert photo is not None
    index = _class(photo, asked)
    left = occlusion(
        subject.model, photo.input, index,
        patch=asked.patch, stride=asked.stride, batch=asked.batch, progress=progress,
    )  # fmt: skip
    whole = float(photo.probabilities[index])
    image = draw.enlarged(draw.photo(photo.pixels), 224)
    name = subject.classes[index]
    sheet = [
        (draw.png(image), f"{name}\n{whole:.1%} when all is seen"),
        (
            draw.png(draw.enlarged(draw.shade(left), 224)),
            f"{name} with the place covered\n{float(left.min()):.1%} to {float(left.max()):.1%}",
        ),
        (draw.png(draw.two_sided(image, whole - left)), "orange: needed for it\nblue: in its way"),
    ]
    facts = {"class": name, "probability": whole, "least": float(left.min()), "grid": list(left.shape)}
    return Sheet(sheet, 3, "Dark in the middle picture: there the network needs to see.", facts, side=224)


def _gradient_sheet(subject: Subject, photo: Photo, asked: Asked, rule: str) -> Sheet:
    index = _class(photo, asked)
    image = draw.enlarged(draw.photo(photo.pixels), 224)
    said = _said(subject, photo, index)
    if rule == "guided":
        signal = guided_backpropagation(subject.model, photo.input, index)
        second = draw.signed(signal, reversed=subject.reversed, sharp=0.998)
        third, words = draw.shade(signal.abs().amax(0), 0.995), "its size"
    else:
        gradient = input_gradient(subject.model, photo.input, index)[0]
        strength = gradient.abs().amax(0)
        second = draw.shade(strength, 0.995)
        size = min(strength.shape) // 25 | 1
        smooth = F.avg_pool2d(strength[None, None], size, 1, size // 2, count_include_pad=False)[0, 0]
        third, words = (
            draw.over(image, smooth),
            "over the photo" + (f", the mean of {size}×{size}" if size > 1 else ""),
        )
    shown = [draw.enlarged(one, 224) for one in (second, third)]
    sheet = [
        (draw.png(image), said),
        (draw.png(shown[0]), f"{subject.classes[index]}"),
        (draw.png(shown[1]), words),
    ]
    note = ""
    if rule == "guided" and not any(isinstance(m, nn.ReLU | nn.ReLU6) for m in subject.model.modules()):
        note = "This network has no rectifiers, so this is the gradient itself, as under Saliency."
    return Sheet(sheet, 3, note, {"class": subject.classes[index]}, side=224)


def _saliency(subject: Subject, photo: Photo | None, asked: Asked, progress: Progress) -> Sheet:
    assert photo is not None
    return _gradient_sheet(subject, photo, asked, "gradient")


def _guided(subject: Subject, photo: Photo | None, asked: Asked, progress: Progress) -> Sheet:
    assert photo is not None
    return _gradient_sheet(subject, photo, asked, "guided")


def _grad_cam(subject: Subject, photo: Photo | None, asked: Asked, progress: Progress) -> Sheet:
    assert photo is not None
    row = asked.row or cam_row(subject.elaborated)
    find_row(subject.elaborated, row)
    image = draw.enlarged(draw.photo(photo.pixels), 224, smooth=False)
    indices = [asked.index] if asked.index is not None else photo.best(3)
    sheet: list[Picture] = [(draw.png(image), "the photo\nas the network sees it")]
    for index in indices:
        found = grad_cam(subject.model, photo.input, index, row)
        words = "" if float(found.max()) > 0 else "\nnothing speaks for it"
        sheet.append((draw.png(draw.over(image, found)), f"{_said(subject, photo, index)}{words}"))
    shape = find_row(subject.elaborated, row).output
    note = f"The maps are those of row {row}, {shape[0]} of {shape[1]}×{shape[2]}"
    note += "." if asked.row else ", the last before the places are pooled away."
    return Sheet(sheet, 4, note, {"row": row, "classes": [subject.classes[i] for i in indices]}, side=200)


def _maximize(subject: Subject, photo: Photo | None, asked: Asked, progress: Progress) -> Sheet:
    channels, height, width = subject.elaborated.input
    if asked.row:
        maps = find_row(subject.elaborated, asked.row).output[0]
        if asked.unit is not None:
            units = [asked.unit]
        elif photo is not None:
            units = most_excited(feature_maps(subject, photo.input, [asked.row])[asked.row], 6)
        else:
            units = list(range(min(6, maps)))
        objective, names = of_channels(asked.row, units), [f"{asked.row}, channel {unit}" for unit in units]
    else:
        best = photo.best(3) if photo is not None else list(range(min(3, len(subject.classes))))
        units = [asked.index] if asked.index is not None else best
        objective, names = of_classes(units), [subject.classes[unit] for unit in units]
    found = maximize(
        subject.model, objective, len(units), (channels, height, width), subject.preprocessing,
        steps=asked.steps, seed=asked.seed, rate=0.05 if channels == 3 else 0.08, progress=progress,
    )  # fmt: skip
    note = f"{asked.steps} steps from noise, seed {asked.seed}."
    if channels == 1:
        found = found / found.amax((1, 2, 3), keepdim=True)
        note += " The pictures begin dark and light costs them something: what this network knows are strokes on a dark ground."
    sheet = [
        (draw.png(draw.enlarged(draw.of_values(f), 224)), name) for f, name in zip(found, names, strict=True)
    ]
    facts: dict[str, object] = {"row": asked.row, "units": units, "steps": asked.steps, "seed": asked.seed}
    return Sheet(sheet, 3, note, facts, side=224)


METHODS: dict[str, Method] = {
    "filters": Method(
        "First-layer filters",
        "Each tile is one filter of the first convolution: middle grey is no weight, brighter and darker what it looks "
        "for and against. Edges, colours and frequencies are a sign of a trained layer; noise or dead grey of one that is not.",
        "Krizhevsky, Sutskever, Hinton 2012, Fig. 3",
        _filters,
        of_photo=False,
    ),
    "maps": Method(
        "Feature maps",
        "What rows of the network make of the photo, from fine to coarse: bright where a channel is excited. Early rows "
        "keep the picture's lines, late ones only say where something is that they know.",
        "Zeiler, Fergus 2013; Yosinski et al. 2015",
        _maps,
    ),
    "deconvnet": Method(
        "Deconvnet",
        "The strongest activation of a channel is carried back down to the pixels: unpooled by the switches of the "
        "pooling, rectified, convolved with the transposed filters. What appears is the structure that excited it.",
        "Zeiler, Fergus 2013, Visualizing and Understanding Convolutional Networks",
        _deconvnet,
    ),
    "occlusion": Method(
        "Occlusion",
        "A grey square covers one place after another, and the network is asked each time how sure it is of the class. "
        "Where its probability falls, it had looked at what is now covered.",
        "Zeiler, Fergus 2013, §4.2 and Fig. 7",
        _occlusion,
    ),
    "saliency": Method(
        "Saliency",
        "The gradient of the class's score by each pixel: how much a small change there would change the answer. It is "
        "exact and noisy, since a gradient holds only right where it is taken.",
        "Simonyan, Vedaldi, Zisserman 2013, Deep Inside Convolutional Networks",
        _saliency,
    ),
    "guided": Method(
        "Guided backpropagation",
        "The same gradient, but rectifiers let a signal pass only where it and the activation are both positive. The "
        "picture is sharp; it shows what the network reacts to more than what decides for this class (Adebayo et al. 2018).",
        "Springenberg et al. 2014, Striving for Simplicity",
        _guided,
    ),
    "grad-cam": Method(
        "Grad-CAM",
        "The last maps are weighted by the mean gradient of the class's score and added: hot places speak for the "
        "class. It is coarse, as these maps are, and tells classes in one photo apart.",
        "Selvaraju et al. 2017, Grad-CAM; the maps of Zhou et al. 2016 (CAM) are its special case",
        _grad_cam,
    ),
    "maximize": Method(
        "The most exciting picture",
        "Starting from noise, the pixels climb the gradient until the unit is as excited as it can be. Frequencies like "
        "those of photos, and a little shift, turn and scale at each step, keep it a picture.",
        "Erhan et al. 2009; Simonyan et al. 2013; Olah et al. 2017, Feature Visualization",
        _maximize,
        of_photo=False,
    ),
}


def check(asked: Asked, subject: Subject) -> None:
    """MisuseError for a row or unit that is not there, before anything is computed."""
    if asked.row is not None:
        shape = find_row(subject.elaborated, asked.row).output
        if asked.unit is not None and asked.unit >= shape[0]:
            raise MisuseError(f"--unit {asked.unit}: {asked.row} has channels 0 to {shape[0] - 1}")
    elif asked.unit is not None:
        raise MisuseError(
            f"--unit {asked.unit}: of which row? Add --row ROW (convatlas show prints the rows)"
        )
