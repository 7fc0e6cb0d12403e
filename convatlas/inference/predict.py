"""Name what is in pictures: on a CPU each core reads and computes its share, elsewhere threads read ahead."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from convatlas.allocator import keep_memory
from convatlas.data.images import ImageError
from convatlas.data.pixels import normalize
from convatlas.data.seen import seen_pixels
from convatlas.data.threads import core_pool
from convatlas.errors import ConvAtlasError
from convatlas.inference.pictures import Picture, spread
from convatlas.weights.classifier import Classifier

_AHEAD = 3  # batches that are decoded while one is computed
_READERS = 16  # threads at the most that read ahead
_MANY = 64  # pictures from which the machine is taken for this work alone

T = TypeVar("T")
Found = TypeVar("Found")
Read = Callable[[Picture], np.ndarray]


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
    """One prediction a picture, in order. A picture that cannot be read gives its error, and the rest goes on.

    workers: threads that read ahead while one batch is computed. Without it, a plain model on a CPU runs in lanes
    instead: each core reads its share of a batch and computes it, and no core waits for another.
    """
    read = reader(classifier)
    batch = max(1, min(batch, len(pictures)))
    lanes = _lanes(classifier, pictures, batch) if workers is None else 1
    if lanes == 1:
        yield from _ahead(classifier, read, _parts(pictures, batch), top, workers)
        return
    if len(pictures) >= _MANY:
        keep_memory()
    size = -(-batch // lanes)

    def answer(part: Sequence[Picture]) -> list[Prediction]:
        return _answer(classifier, part, [_outcome(read, picture) for picture in part], top)

    share = max(1, torch.get_num_threads() // lanes)
    with core_pool(lanes, "predict", share) as pool:
        for found in _in_order(pool, answer, _parts(pictures, size), 2 * lanes):
            yield from found


def _lanes(classifier: Classifier, pictures: Sequence[Picture], batch: int) -> int:
    """How many threads go all the way from a file to an answer; 1 where the network is better fed by others."""
    plain = classifier.answer is classifier.model and classifier.device.type == "cpu"
    distant = any(picture.distant for picture in pictures)  # whose lane would wait for the network
    return min(torch.get_num_threads(), batch) if plain and not distant else 1


def _ahead(
    classifier: Classifier,
    read: Read,
    parts: Sequence[Sequence[Picture]],
    top: int,
    workers: int | None,
) -> Iterator[Prediction]:
    """Threads read while the caller's thread has a whole batch computed."""
    pictures = [picture for part in parts for picture in part]
    distant = any(picture.distant for picture in pictures)  # waiting takes no core
    count = workers or min(_READERS, len(pictures) if distant else os.cpu_count() or 1)
    with core_pool(count, "read") as pool:
        ahead = _AHEAD * len(parts[0])
        outcomes = _in_order(pool, lambda picture: _outcome(read, picture), pictures, ahead)
        for part in parts:
            yield from _answer(classifier, part, [next(outcomes) for _ in part], top)


def _in_order(
    pool: ThreadPoolExecutor, job: Callable[[T], Found], items: Sequence[T], ahead: int
) -> Iterator[Found]:
    """What `job` gives for each item, in order, `ahead` of them in the making."""
    waiting: deque[Future[Found]] = deque(pool.submit(job, item) for item in items[:ahead])
    try:
        rest = iter(items[ahead:])
        while waiting:
            waiting.extend(pool.submit(job, item) for item in itertools.islice(rest, 1))
            yield waiting.popleft().result()
    finally:  # a caller that stops early does not wait for what it will not see
        pool.shutdown(wait=False, cancel_futures=True)


def _parts(pictures: Sequence[Picture], size: int) -> list[Sequence[Picture]]:
    return [pictures[i : i + size] for i in range(0, len(pictures), size)]


def reader(classifier: Classifier) -> Read:
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
    for picture in spread(pictures, count):
        try:
            pixels.append(read(picture))
        except (ConvAtlasError, OSError):
            continue  # it is told when its turn comes to be predicted
    if not pixels:
        return None
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).to(classifier.device)
    return normalize(images, classifier.preprocessing)


def _outcome(read: Read, picture: Picture) -> np.ndarray | str:
    """Its pixels, or why there are none."""
    try:
        return read(picture)
    except ImageError as error:
        return error.reason
    except (ConvAtlasError, OSError, MemoryError) as error:
        return str(error) or type(error).__name__


def _answer(
    classifier: Classifier, part: Sequence[Picture], outcomes: Sequence[np.ndarray | str], top: int
) -> list[Prediction]:
    pixels = [outcome for outcome in outcomes if not isinstance(outcome, str)]
    probabilities = iter(_probabilities(classifier, pixels))
    return [
        Prediction(picture.name, error=outcome)
        if isinstance(outcome, str)
        else Prediction(picture.name, best(next(probabilities), classifier.classes, top))
        for picture, outcome in zip(part, outcomes, strict=True)
    ]


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
