"""Classical baselines: descriptors against their definitions and scikit-image, learners against scikit-learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from convatlas.cli import main
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.evaluation.classic.descriptors import DESCRIPTORS, HOG, LBP, SIFT, fit_words
from convatlas.evaluation.classic.learners import _scaled, fit_learner
from convatlas.evaluation.classic.model import FILE, open_baseline, parse

sklearn = pytest.importorskip("sklearn", reason="needs the extra `classic`")


@pytest.fixture(scope="module")
def vectors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Overlapping clouds of three classes: training vectors, labels, vectors to ask about."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 3
    cloud = torch.randn(240, 6, generator=generator) + 1.2 * torch.eye(6)[labels]
    return cloud, labels, torch.randn(100, 6, generator=generator)


@pytest.mark.oracle
@pytest.mark.parametrize("channels", [1, 3])
def test_hog_is_that_of_scikit_image(channels: int):
    feature = pytest.importorskip("skimage.feature", reason="needs the extra `classic`")
    x = torch.rand(2, channels, 28, 28, dtype=torch.float64)
    for image, found in zip(x, HOG(28)(x), strict=True):
        expected = feature.hog(
            image.permute(1, 2, 0).numpy(), 9, (4, 4), (2, 2), block_norm="L2-Hys", channel_axis=2
        )
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


def test_local_binary_patterns_are_counted_as_defined():
    x = torch.rand(1, 1, 10, 10)
    grid = x[0, 0].tolist()
    circle = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
    even = [p for p in range(256) if sum((p >> i & 1) != (p >> (i + 1) % 8 & 1) for i in range(8)) <= 2]
    assert len(even) == 58
    counts = [0.0] * 59
    for y in range(1, 5):  # the first quarter of the 8x8 places with eight neighbours
        for z in range(1, 5):
            bits = [grid[y + dy][z + dz] >= grid[y][z] for dy, dz in circle]
            pattern = sum(bit << i for i, bit in enumerate(bits))
            counts[even.index(pattern) if pattern in even else 58] += 1 / 16
    found = LBP(grid=2)(x).view(59, 2, 2)[:, 0, 0]
    torch.testing.assert_close(found, torch.tensor(counts).sqrt())


def test_a_sift_descriptor_points_where_the_brightness_rises():
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)  # rises to the right: direction 0 of 8
    found = SIFT(32).descriptors(ramp)[0, :, 3, 3].view(16, 8)
    assert torch.allclose(found[:, 0], torch.full((16,), 0.25), atol=1e-3)  # 16 equal bins of length 1
    assert float(found[:, 1:].abs().max()) < 1e-6


@pytest.mark.parametrize("name", DESCRIPTORS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 32, 32), (3, 64, 64)])
def test_descriptors_do_not_depend_on_the_batch(name: str, shape: tuple[int, int, int]):
    descriptor = DESCRIPTORS[name](shape[1])
    x = torch.rand(20, *shape)
    if isinstance(descriptor, SIFT):
        fit_words(descriptor, lambda: x, 0)
    whole = descriptor(x)
    assert whole.shape[0] == 20 and whole.isfinite().all()
    torch.testing.assert_close(descriptor(x[3:4])[0], whole[3], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_learners_answer_as_scikit_learn_does(vectors: tuple[torch.Tensor, ...], classes: int):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC, LinearSVC
    from sklearn.tree import DecisionTreeClassifier

    x, y, asked = vectors
    x, y = x[y < classes], y[y < classes]
    scaled, scale = _scaled(x.numpy())
    query = (asked.numpy() - scale["mean"]) / scale["deviation"]
    gamma = 0.5 / 6 / float(scaled.var())
    peers = {
        "svm": (LinearSVC(C=1 / 6, dual=False, tol=1e-3, max_iter=3000, random_state=0), scaled, query),
        "logistic": (LogisticRegression(C=10 / 6, max_iter=1000, tol=1e-3), scaled, query),
        "rbf-svm": (SVC(C=10, gamma=gamma, break_ties=True), scaled, query),
        "tree": (DecisionTreeClassifier(min_samples_leaf=2, random_state=0), x.numpy(), asked.numpy()),
        "forest": (RandomForestClassifier(100, random_state=0), x.numpy(), asked.numpy()),
    }
    for name, (peer, seen, question) in peers.items():
        expected = peer.fit(seen, y.numpy()).predict(question)
        found = fit_learner(name, x, y, classes, 0)(asked).argmax(1).numpy()
        assert (found == expected).mean() == 1, name


def test_the_nearest_neighbors_vote(vectors: tuple[torch.Tensor, ...]):
    from sklearn.neighbors import KNeighborsClassifier

    x, y, asked = vectors
    expected = KNeighborsClassifier(5).fit(x.numpy(), y.numpy()).predict_proba(asked.numpy())
    found = fit_learner("knn", x, y, 3, 0)(asked).numpy() / 5
    np.testing.assert_allclose(found, expected, atol=2e-3)  # ties are broken by distance


def test_a_run_is_trained_evaluated_and_used_like_a_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "run"
    assert main(["train", "hog+logistic", "--limit", "400", "--out", str(out), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["network"] == "hog+logistic" and summary["data"] == "digits" and summary["train"] == 400
    assert json.loads((out / "summary.json").read_text()) == summary
    for file in ("recipe.json", "metrics.jsonl", "confusion.svg", "wrong.svg", "report.html", FILE):
        assert (out / file).is_file(), file
    assert main(["evaluate", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1"] == summary["top1"] > 0.9
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "sklearn", None)  # to answer, scikit-learn is not needed
        assert open_baseline(out / FILE).classes == tuple("0123456789")
    assert main(["explain", str(out), "--method", "filters", "-o", str(tmp_path / "seen")]) == 2
    assert "no layers" in capsys.readouterr().err
    for option in ("--fast", "--precision=bf16", "--preprocess=tf"):
        assert main(["evaluate", str(out), option]) == 2
        assert f"{option.partition('=')[0]} would change nothing" in capsys.readouterr().err
    assert main(["train", "hog+logistic", "--out", str(out)]) == 2  # a run is not written over
    capsys.readouterr()


def test_baselines_that_are_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    with pytest.raises(MisuseError, match="nearest: svm"):
        parse("hog+swm")
    with pytest.raises(MisuseError, match="no descriptor 'surf'"):
        parse("surf+svm")
    assert main(["train", "hog+svm", "--epochs", "3", "--out", str(tmp_path / "run")]) == 2
    assert "--epochs" in capsys.readouterr().err and not (tmp_path / "run").exists()
    assert main(["train", "lenet5", "--limit", "3", "--out", str(tmp_path / "run")]) == 2
    assert "classical" in capsys.readouterr().err


def test_a_broken_file_is_told(tmp_path: Path):
    path = tmp_path / FILE
    path.write_bytes(b"\x80\x04nothing")
    with pytest.raises(ConvAtlasError, match="not a baseline"):
        open_baseline(path)


@pytest.mark.slow
def test_hog_and_a_linear_svm_reach_97_percent_of_mnist(shared_data: Path, tmp_path: Path):
    from convatlas.recipes.classic import train

    summary = train("hog+svm", "mnist", data_root=shared_data, out=tmp_path / "run", limit=20_000)
    assert float(str(summary["top1"])) >= 0.97
