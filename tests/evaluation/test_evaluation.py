"""Scores, protocols and the dense form of a network, each against what it is by definition."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="evaluation runs on torch, which is not installed")

from pathlib import Path  # noqa: E402

from PIL import Image  # noqa: E402

from convatlas import define as d  # noqa: E402
from convatlas.data.sets import FileSet, TensorSet  # noqa: E402
from convatlas.define.preprocessing import NAMED, Preprocessing  # noqa: E402
from convatlas.errors import ConvAtlasError, MisuseError  # noqa: E402
from convatlas.evaluation.dense import dense_model, dense_network  # noqa: E402
from convatlas.evaluation.evaluate import evaluate, matched_labels  # noqa: E402
from convatlas.evaluation.protocols import Protocol, five_crops, parse  # noqa: E402
from convatlas.evaluation.scores import score  # noqa: E402
from convatlas.modules import build  # noqa: E402
from convatlas.networks import catalogue  # noqa: E402
from convatlas.weights.classifier import Classifier  # noqa: E402
from tests.modules.filling import fill  # noqa: E402


def classifier(network: d.Network, preprocessing: Preprocessing, classes: tuple[str, ...]) -> Classifier:
    return Classifier("tiny", fill(build(network)), network, preprocessing, classes)


SMALL = d.Network(
    input=(3, 32, 32),
    conv1=d.Sequential(conv=d.Conv(8, 3, 2), relu=d.ReLU()),
    pool1=d.MaxPool(2),
    flatten=d.Flatten(),
    fc1=d.Sequential(linear=d.Linear(16), relu=d.ReLU(), dropout=d.Dropout()),
    fc2=d.Linear(3),
)
PHOTOS = Preprocessing(resize=40, crop=32)


@pytest.fixture
def photos(tmp_path: Path) -> FileSet:
    generator = torch.Generator().manual_seed(0)
    paths = []
    for i, size in enumerate([(50, 40), (40, 70), (64, 64), (45, 90)]):
        noise = torch.randint(0, 255, (size[1], size[0], 3), generator=generator, dtype=torch.uint8)
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(noise.numpy()).save(paths[-1])
    return FileSet(tuple(paths), torch.tensor([0, 1, 2, 0]), ("a", "b", "c"), "photos")


def test_scores_count_by_hand() -> None:
    votes = torch.tensor(
        [[0.9, 0.1, 0, 0, 0, 0], [0.2, 0.1, 0.3, 0.15, 0.25, 0], [0.3, 0.25, 0.2, 0.15, 0.1, 0]]
    )
    found = score(votes, torch.tensor([0, 3, 5]), tuple("abcdef"))
    assert (found.images, found.top1_count, found.top5_count) == (3, 1, 2)
    assert found.confusion[3, 2] == 1
    assert found.confusion.sum() == 3
    assert found.per_class()[0] == {"class": "a", "images": 1, "recall": 1.0, "precision": 0.5}


def test_five_crops_are_the_corners_and_the_middle() -> None:
    image = torch.arange(36).view(1, 1, 6, 6)
    firsts = [int(crop[0, 0, 0, 0]) for crop in five_crops(image, (4, 4))]
    assert firsts == [0, 2, 12, 14, 7]


@pytest.mark.parametrize(
    "name", [n for n in catalogue.names() if d.elaborate(catalogue.network(n)).mult_adds < 4e8]
)
def test_at_its_own_size_the_dense_form_gives_the_networks_logits(name: str) -> None:
    network = catalogue.network(name)
    if name == "lenet5_1998":  # its RBF output measures distances of a vector: no convolution does that
        with pytest.raises(MisuseError, match="codes have 84 values"):
            dense_model(build(network), network)
        return
    model = fill(build(network, init=False))
    x = torch.randn(1, *network.input)
    with torch.no_grad():
        torch.testing.assert_close(dense_model(model, network)(x), model(x), rtol=1e-4, atol=1e-4)


def test_vggs_first_linear_layer_becomes_a_7x7_convolution() -> None:
    dense = d.elaborate(dense_network(catalogue.network("vgg16")), (3, 256, 256))
    kernels = [
        p.node.kernel for n, p in dense.operations() if n.startswith("fc") and isinstance(p.node, d.Conv)
    ]
    assert kernels == [(7, 7), (1, 1), (1, 1)]  # Simonyan & Zisserman 2014, §3.2
    assert dense.parameters == 138_357_544
    assert dense["fc3"].output == (1000, 2, 2)  # a score map of a picture larger than 224


def test_dense_evaluation_is_the_mean_of_the_score_map(photos: FileSet) -> None:
    one = classifier(SMALL, PHOTOS, ("a", "b", "c"))
    report = evaluate([one], photos, parse("dense:40"))
    dense = dense_model(one.model, SMALL)
    from convatlas.data import normalize
    from convatlas.data.pixels import crop_pixels

    pixels = crop_pixels(Image.open(photos.paths[1]).convert("RGB"), Preprocessing(resize=40, crop=None))
    x = normalize(torch.from_numpy(pixels).permute(2, 0, 1)[None], PHOTOS)
    with torch.no_grad():
        expected = ((dense(x) + dense(x.flip(3))) / 2).softmax(1)[0]
    torch.testing.assert_close(report.probabilities[1], expected)


def test_flip_and_ten_crop_average_probabilities(photos: FileSet) -> None:
    one = classifier(SMALL, PHOTOS, ("a", "b", "c"))
    from convatlas.data.pixels import load

    with torch.no_grad():
        plain = torch.stack([load(p, PHOTOS) for p in photos.paths])
        expected = (one.model(plain).softmax(1) + one.model(plain.flip(3)).softmax(1)) / 2
        torch.testing.assert_close(evaluate([one], photos, Protocol("flip")).probabilities, expected)
        patch = torch.stack([load(p, Preprocessing(resize=40, crop=40)) for p in photos.paths])
        views = [v for crop in five_crops(patch, (32, 32)) for v in (crop, crop.flip(3))]
        expected = torch.stack([one.model(v).softmax(1) for v in views]).mean(0)
        torch.testing.assert_close(evaluate([one], photos, Protocol("ten-crop")).probabilities, expected)


def test_an_ensemble_is_the_mean_of_its_members(photos: FileSet) -> None:
    one, other = (classifier(SMALL, PHOTOS, ("a", "b", "c")) for _ in range(2))
    fill(other.model, seed=1)
    both = evaluate([one, other], photos)
    expected = (evaluate([one], photos).probabilities + evaluate([other], photos).probabilities) / 2
    torch.testing.assert_close(both.probabilities, expected)
    assert "ensemble of 2" in both.protocol


def test_a_broken_photo_is_listed_with_its_reason_and_the_rest_is_scored(
    photos: FileSet, tmp_path: Path
) -> None:
    (tmp_path / "1.png").write_bytes(b"not a picture")
    report = evaluate([classifier(SMALL, PHOTOS, ("a", "b", "c"))], photos)
    assert report.scores.images == 3
    assert report.indices.tolist() == [0, 2, 3]
    assert [Path(path).name for path, _ in report.skipped] == ["1.png"]


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    broken = FileSet((tmp_path / "a.png",), torch.tensor([0]), ("a", "b", "c"), "broken")
    with pytest.raises(ConvAtlasError, match="no picture of broken could be read"):
        evaluate([classifier(SMALL, PHOTOS, ("a", "b", "c"))], broken)


def test_classes_are_matched_by_name() -> None:
    data = TensorSet(torch.zeros(3, 3, 32, 32, dtype=torch.uint8), torch.tensor([0, 1, 0]), ("c", "a"), "two")
    assert matched_labels(data, ("a", "b", "c"), "net").tolist() == [2, 0, 2]
    other = TensorSet(data.images, data.labels, ("c", "dog"), "two")
    with pytest.raises(MisuseError, match=r"'dog' is not among them"):
        matched_labels(other, ("a", "b", "c"), "net")


@pytest.mark.parametrize("text", ["five", "center:256", "dense:big"])
def test_an_unknown_protocol_lists_what_there_is(text: str) -> None:
    with pytest.raises(MisuseError, match="protocol"):
        parse(text)


def test_grey_sets_are_scored_as_they_are() -> None:
    network = d.Network(input=(1, 32, 32), flatten=d.Flatten(), fc=d.Linear(2))
    data = TensorSet(
        torch.randint(0, 255, (5, 1, 32, 32), dtype=torch.uint8),
        torch.tensor([0, 1, 0, 1, 1]),
        ("a", "b"),
        "grey",
    )
    report = evaluate([classifier(network, NAMED["digit"], ("a", "b"))], data, batch=2)
    assert report.scores.images == 5
