"""Name what is in pictures: decoding runs ahead in threads while the network computes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convatlas.data.images import ImageError
from convatlas.data.pixels import normalize
from convatlas.data.seen import seen_pixels
from convatlas.errors import ConvAtlasError
from convatlas.inference.pictures import Picture
from convatlas.weights.classifier import Classifier

_AHEAD = 3  # batches that are decoded while one is computed


@dataclass(frozen=True, slots=True)
class Guess:
    """A class, its place in the network's outputs, its probability."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says of one picture, best first; or why the picture could not be read."""

    path: str
    guesses: tuple[Guess, ...] = ()
    error: str | None = None

    def to_dict(self) -> dict[str, object]:
        """As the command line prints it in JSON."""
        if self.error is not None:
            return {"path": self.path, "error": self.error}
        guesses = [
            {"label": g.label, "index": g.index, "probability": round(g.probability, 6)} for g in self.guesses
        ]
        return {"path": self.path, "predictions": guesses}


def predict(
    classifier: Classifier,
    pictures: Sequence[Picture],
    *,
    top: int = 5,
    batch: int = 16,
    workers: int | None = None,
) -> Iterator[Prediction]:
    """One prediction a picture, in order. A picture that cannot be read gives its error, and the rest goes on."""
    read = reader(classifier)
    batch = max(1, min(batch, len(pictures)))
    parts = [pictures[i : i + batch] for i in range(0, len(pictures), batch)]
    with ThreadPoolExecutor(workers or min(16, os.cpu_count() or 1)) as pool:
        waiting: deque[list[Future[np.ndarray]]] = deque()

        def submit(part: Sequence[Picture]) -> None:
            waiting.append([pool.submit(read, picture) for picture in part])

        for part in parts[:_AHEAD]:
            submit(part)
        try:
            for nth, part in enumerate(parts):
                if nth + _AHEAD < len(parts):
                    submit(parts[nth + _AHEAD])
                yield from _answer(classifier, part, waiting.popleft(), top)
        finally:  # a caller that stops early does not wait for what it will not see
            pool.shutdown(wait=False, cancel_futures=True)


def reader(classifier: Classifier) -> Callable[[Picture], np.ndarray]:
    """The function from a picture to the uint8 pixels (H, W, C) that the network sees."""
    c = classifier
    return lambda picture: seen_pixels(
        picture.read(), c.network.input, c.preprocessing, c.provenance, picture.name
    )


def sample(classifier: Classifier, pictures: Sequence[Picture], count: int = 64) -> Tensor | None:
    """Up to `count` of the pictures, spread evenly, as the network takes them (n, C, H, W); None if none can be read.

    What a faster form of the network is checked and calibrated on.
    """
    read, pixels = reader(classifier), []
    for picture in pictures[:: max(1, len(pictures) // count)][:count]:
        try:
            pixels.append(read(picture))
        except (ConvAtlasError, OSError):
            continue  # it is told when its turn comes to be predicted
    if not pixels:
        return None
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).to(classifier.device)
    return normalize(images, classifier.preprocessing)


def _answer(
    classifier: Classifier, part: Sequence[Picture], futures: list[Future[np.ndarray]], top: int
) -> Iterator[Prediction]:
    errors: dict[int, str] = {}
    pixels: list[np.ndarray] = []
    for i, future in enumerate(futures):
        try:
            pixels.append(future.result())
        except ImageError as error:
            errors[i] = error.reason
        except (ConvAtlasError, OSError, MemoryError) as error:
            errors[i] = str(error) or type(error).__name__
    probabilities = iter(_probabilities(classifier, pixels))
    for i, picture in enumerate(part):
        if i in errors:
            yield Prediction(picture.name, error=errors[i])
        else:
            yield Prediction(picture.name, best(next(probabilities), classifier.classes, top))


def _probabilities(classifier: Classifier, pixels: list[np.ndarray]) -> Tensor:
    if not pixels:
        return torch.zeros(0, len(classifier.classes))
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).to(classifier.device)
    with torch.inference_mode():
        return classifier.answer(normalize(images, classifier.preprocessing)).float().softmax(1).cpu()


def best(probabilities: Tensor, classes: tuple[str, ...], top: int) -> tuple[Guess, ...]:
    """The `top` most probable classes of one picture's probabilities (classes,)."""
    values, indices = probabilities.topk(min(top, len(classes)))
    return tuple(Guess(classes[i], i, p) for p, i in zip(values.tolist(), indices.tolist(), strict=True))
