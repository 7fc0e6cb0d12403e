"""Score one classifier, or several as an ensemble, on a labelled set under a protocol."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.data.images import ImageError, read_image
from convatlas.data.loader import Loader
from convatlas.data.pixels import crop_pixels, normalize
from convatlas.data.sets import Dataset, FileSet, TensorSet
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.evaluation.dense import dense_model
from convatlas.evaluation.protocols import Protocol, mean_probability
from convatlas.evaluation.scores import Scores, score
from convatlas.weights.classifier import Classifier

Progress = Callable[[int, int], None]  # (pictures done, pictures in all)


@dataclass(frozen=True, eq=False)
class Report:
    """What an evaluation found; `skipped` are the pictures that could not be read, with the reason."""

    networks: tuple[str, ...]
    data: str
    protocol: str
    scores: Scores
    seconds: float
    skipped: tuple[tuple[str, str], ...]
    indices: Tensor  # int64: which pictures of the set were scored
    labels: Tensor
    probabilities: Tensor  # (images, classes)

    @property
    def images_per_second(self) -> float:
        """Pictures scored a second, reading included, all networks together."""
        return self.scores.images / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, object]:
        """The report as JSON has it."""
        return {
            "networks": list(self.networks),
            "data": self.data,
            "protocol": self.protocol,
            "top1": self.scores.top1,
            "top5": self.scores.top5,
            "top1_correct": self.scores.top1_count,
            "top5_correct": self.scores.top5_count,
            "images": self.scores.images,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.images_per_second, 2),
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
        }


def evaluate(
    classifiers: Sequence[Classifier],
    dataset: Dataset,
    protocol: Protocol | None = None,
    *,
    batch: int = 32,
    progress: Progress | None = None,
) -> Report:
    """Score `classifiers` on `dataset`; with several, the mean of their probabilities.

    Raises MisuseError where the set's classes are not the networks', ConvAtlasError where no picture could be read.
    """
    protocol = protocol or Protocol()
    if not classifiers:
        raise MisuseError("nothing to evaluate: give a run folder or a network with its weights")
    first = classifiers[0]
    for other in classifiers[1:]:
        if other.classes != first.classes:
            raise MisuseError(
                f"{first.name} and {other.name} do not have the same classes, so their votes cannot be averaged"
            )
    labels = matched_labels(dataset, first.classes, first.name)
    start = time.perf_counter()
    total = len(dataset) * len(classifiers)
    skipped: dict[str, str] = {}
    votes: Tensor | None = None
    kept = torch.ones(len(dataset), dtype=torch.bool)
    for nth, classifier in enumerate(classifiers):
        done = nth * len(dataset)
        probabilities = torch.zeros(len(dataset), len(first.classes))
        seen = torch.zeros(len(dataset), dtype=torch.bool)
        for indices, part in _answers(classifier, dataset, protocol, batch, skipped):
            probabilities[indices] = part
            seen[indices] = True
            done += len(indices)
            if progress is not None:
                progress(done, total)
        votes = probabilities if votes is None else votes + probabilities
        kept &= seen
    assert votes is not None
    indices = kept.nonzero().flatten()
    if not len(indices):
        reason = next(iter(skipped.items()), ("the set", "it is empty"))
        raise ConvAtlasError(
            f"no picture of {dataset.name} could be read; the first: {reason[0]}: {reason[1]}"
        )
    seconds = time.perf_counter() - start
    mean = votes[indices] / len(classifiers)
    return Report(
        networks=tuple(c.name for c in classifiers),
        data=dataset.name,
        protocol=protocol.describe(first.preprocessing)
        + (f"; ensemble of {len(classifiers)}" if len(classifiers) > 1 else ""),
        scores=score(mean, labels[indices], first.classes),
        seconds=seconds,
        skipped=tuple(sorted(skipped.items())),
        indices=indices,
        labels=labels[indices],
        probabilities=mean,
    )


def sample(classifier: Classifier, dataset: Dataset, count: int = 64) -> Tensor | None:
    """Up to `count` pictures of the set, spread evenly, as the network takes them; None if none can be read."""
    few = dataset.subset(range(0, len(dataset), max(1, len(dataset) // count)))
    channels, *size = classifier.network.input
    if isinstance(few, TensorSet):
        loader = Loader(few, count, (size[0], size[1]), channels=channels, device=classifier.device)
    else:
        loader = Loader(
            few,
            count,
            None,
            channels=channels,
            preprocessing=classifier.preprocessing,
            device=classifier.device,
        )
    images = next((batch.images for batch in loader.batches(0) if len(batch.images)), None)
    return None if images is None else normalize(images, classifier.preprocessing)


def matched_labels(dataset: Dataset, classes: tuple[str, ...], name: str) -> Tensor:
    """The set's labels as the network counts its classes: by position where the names agree, else by name.

    Folders named by wnid find their class in a network of ImageNet's 1000.
    """
    if tuple(dataset.classes) == tuple(classes):
        return dataset.labels
    place = {c: i for i, c in enumerate(classes)}
    if len(classes) in (1000, 1001):
        from convatlas.weights.imagenet import imagenet_classes, imagenet_wnids

        offset = len(classes) - 1000
        if tuple(classes[offset:]) == tuple(imagenet_classes()):
            place = {wnid: i + offset for i, wnid in enumerate(imagenet_wnids())} | place
    missing = [c for c in dataset.classes if c not in place]
    if missing:
        raise MisuseError(
            f"{dataset.name} has {len(dataset.classes)} classes ({', '.join(dataset.classes[:3])}...) and {name} knows "
            f"{len(classes)} ({', '.join(classes[:3])}...): {missing[0]!r} is not among them; "
            "evaluate on data with the classes that the network was trained on"
        )
    return torch.tensor([place[c] for c in dataset.classes], dtype=torch.int64)[dataset.labels]


def _answers(
    classifier: Classifier, dataset: Dataset, protocol: Protocol, batch: int, skipped: dict[str, str]
) -> Iterator[tuple[Tensor, Tensor]]:
    """(indices, probabilities) of the set in batches; what cannot be read goes into `skipped`."""
    if protocol.name == "dense":
        yield from _dense_answers(classifier, dataset, protocol, skipped)
        return
    channels, *size = classifier.network.input
    crop = (size[0], size[1])
    if isinstance(dataset, TensorSet):
        if protocol.name == "ten-crop":
            raise MisuseError(
                f"ten-crop is for photos; {dataset.name} holds pictures of the network's own size"
            )
        loader = Loader(dataset, batch, crop, channels=channels, device=classifier.device)
    else:
        reading = protocol.patch(classifier.preprocessing)
        loader = Loader(
            dataset, batch, None, channels=channels, preprocessing=reading, device=classifier.device
        )
    with torch.inference_mode():
        for images, _, indices in loader.batches(0):
            if not len(images):
                continue
            views = protocol.views(images, crop)
            logits = [classifier.answer(normalize(view, classifier.preprocessing)) for view in views]
            yield indices.cpu(), mean_probability(logits).cpu()
    skipped.update(loader.skipped)


def _dense_answers(
    classifier: Classifier, dataset: Dataset, protocol: Protocol, skipped: dict[str, str]
) -> Iterator[tuple[Tensor, Tensor]]:
    """One picture at a time, since each has its own size; the next ones are read meanwhile."""
    if not isinstance(dataset, FileSet):
        raise MisuseError(
            f"dense evaluation is for photos; {dataset.name} holds pictures of the network's own size"
        )
    model = dense_model(classifier.model, classifier.network)
    least = max(classifier.network.input[1:])
    if min(protocol.scales) < least:
        raise MisuseError(
            f"dense: the smallest scale is {min(protocol.scales)}, below the network's own input of {least}"
        )
    scales = [
        dataclasses.replace(classifier.preprocessing, resize=side, crop=None) for side in protocol.scales
    ]

    def read(index: int) -> list[Tensor]:
        image = read_image(dataset.read(index), dataset.label_of(index))
        return [torch.from_numpy(crop_pixels(image, p)).permute(2, 0, 1)[None] for p in scales]

    for index, found in _ahead(read, len(dataset)):
        if isinstance(found, ImageError):
            skipped[dataset.label_of(index)] = found.reason
            continue
        with torch.inference_mode():
            logits = []
            for pixels in found:
                x = normalize(pixels.to(classifier.device), classifier.preprocessing)
                # the score maps of both mirror images are averaged before the softmax, the scales after it
                logits.append((model(x) + model(x.flip(3))) / 2)
            yield torch.tensor([index]), mean_probability(logits).cpu()


def _ahead(
    read: Callable[[int], list[Tensor]], count: int, ahead: int = 8
) -> Iterator[tuple[int, list[Tensor] | ImageError]]:
    """(index, what `read` gives for it) in order, `ahead` of them in the making."""
    with ThreadPoolExecutor(2) as pool:
        waiting: deque[Future[list[Tensor]]] = deque(pool.submit(read, i) for i in range(min(ahead, count)))
        for index in range(count):
            if index + ahead < count:
                waiting.append(pool.submit(read, index + ahead))
            try:
                yield index, waiting.popleft().result()
            except ImageError as error:
                yield index, error
