"""Learners without layers: scikit-learn fits, its arrays become buffers of a module that answers without it.

Vectors (N, D) to scores (N, classes), the largest is the answer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.errors import MissingExtra

Fit = Callable[[np.ndarray, np.ndarray, int, int], dict[str, np.ndarray]]


class _Learner(nn.Module):
    """Buffers by name; a subclass says what they mean."""

    def __init__(self, arrays: dict[str, Tensor]) -> None:
        super().__init__()
        for name, value in arrays.items():
            self.register_buffer(name, value)


class Linear(_Learner):
    """weight (classes, D), bias (classes,) on vectors of zero mean and unit deviation."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    deviation: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.mean) / self.deviation) @ self.weight.T + self.bias


class Kernel(_Learner):
    """One RBF machine a pair of classes; the pairs vote, their margins break ties (scikit-learn with break_ties)."""

    vectors: Tensor
    alphas: Tensor
    bias: Tensor
    gamma: Tensor
    mean: Tensor
    deviation: Tensor

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / self.deviation
        near = torch.exp(-self.gamma * torch.cdist(x, self.vectors).square())
        margins = near @ self.alphas.T + self.bias  # (N, pairs)
        count = round((1 + (1 + 8 * len(self.bias)) ** 0.5) / 2)
        votes, sums = margins.new_zeros(len(x), count), margins.new_zeros(len(x), count)
        pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
        for margin, (i, j) in zip(margins.T, pairs, strict=True):
            won = (margin > 0).to(votes.dtype)
            votes[:, i] += won
            votes[:, j] += 1 - won
            sums[:, i] += margin
            sums[:, j] -= margin
        return votes + sums / (3 * (sums.abs() + 1))


class Trees(_Learner):
    """Decision trees, their leaves' class shares averaged. left, right, feature, threshold (trees, nodes)."""

    left: Tensor
    right: Tensor
    feature: Tensor
    threshold: Tensor
    shares: Tensor

    def forward(self, x: Tensor) -> Tensor:
        total = x.new_zeros(len(x), self.shares.shape[2])
        for left, right, feature, threshold, shares in zip(
            self.left, self.right, self.feature, self.threshold, self.shares, strict=True
        ):
            node = torch.zeros(len(x), dtype=torch.long, device=x.device)
            while True:
                inner = left[node] >= 0
                if not bool(inner.any()):
                    break
                value = x.gather(1, feature[node].clamp(min=0)[:, None])[:, 0]
                below = torch.where(value <= threshold[node], left[node], right[node])
                node = torch.where(inner, below, node)
            total += shares[node]
        return total / len(self.left)


class Neighbors(_Learner):
    """The share of each class among the 5 nearest training vectors."""

    vectors: Tensor
    labels: Tensor

    def forward(self, x: Tensor) -> Tensor:
        near = torch.cdist(x, self.vectors).topk(min(5, len(self.vectors)), largest=False)
        votes = x.new_zeros(len(x), int(self.labels.max()) + 1)
        # of equal votes the nearer wins
        weights = 1 + 1e-3 / (1 + near.values)
        return votes.scatter_add(1, self.labels[near.indices], weights)


def _scaled(x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    mean, deviation = x.mean(0), x.std(0)
    # what is nearly constant stays small: noise must not become as loud as the rest
    deviation = np.maximum(deviation, 0.1 * float(deviation.mean()) or 1.0)
    return (x - mean) / deviation, {"mean": mean, "deviation": deviation}


def _all_classes(
    rows: np.ndarray, bias: np.ndarray, found: np.ndarray, classes: int
) -> dict[str, np.ndarray]:
    """Two classes have one row; classes that never occurred have none and never win."""
    if len(found) == 2:
        rows, bias = np.concatenate([-rows, rows]), np.concatenate([-bias, bias])
    weight = np.zeros((classes, rows.shape[1]))
    below = np.full(classes, -1e9)
    weight[found], below[found] = rows, bias
    return {"weight": weight, "bias": below}


def _svm(x: np.ndarray, y: np.ndarray, classes: int, seed: int) -> dict[str, np.ndarray]:
    """One against the rest, squared hinge, the objective of scikit-learn's LinearSVC: here all classes at once.

    liblinear takes minutes for MNIST's 60,000, class by class; in its primal all are products of the same matrix.
    """
    x, scale = _scaled(x)
    cost = 1 / x.shape[1]
    seen = torch.cat(
        [torch.from_numpy(x).float(), torch.ones(len(x), 1)], 1
    )  # the bias is an entry, as in liblinear
    targets = 2.0 * torch.nn.functional.one_hot(torch.from_numpy(y), classes) - 1
    weight = torch.zeros(classes, seen.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight],
        max_iter=150,
        history_size=10,
        tolerance_grad=1e-4 * cost * len(x),
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        solver.zero_grad()
        short = (1 - targets * (seen @ weight.T)).clamp(min=0)
        total = 0.5 * weight.square().sum() + cost * short.square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        solver.step(loss)
    found = weight.detach().numpy()
    return scale | {"weight": found[:, :-1], "bias": found[:, -1]}


def _logistic(x: np.ndarray, y: np.ndarray, classes: int, seed: int) -> dict[str, np.ndarray]:
    from sklearn.linear_model import LogisticRegression

    x, scale = _scaled(x)
    fitted = LogisticRegression(C=10 / x.shape[1], max_iter=1000, tol=1e-3).fit(x, y)
    return scale | _all_classes(fitted.coef_, fitted.intercept_, fitted.classes_, classes)


def _rbf_svm(x: np.ndarray, y: np.ndarray, classes: int, seed: int) -> dict[str, np.ndarray]:
    from sklearn.svm import SVC

    x, scale = _scaled(x)
    gamma = 0.5 / x.shape[1] / float(x.var())
    fitted = SVC(C=10, gamma=gamma, cache_size=1000).fit(x, y)
    edges = np.concatenate([[0], np.cumsum(fitted.n_support_)])
    count = len(fitted.classes_)
    alphas = []
    for i in range(count):
        for j in range(i + 1, count):
            row = np.zeros(len(fitted.support_vectors_))
            row[edges[i] : edges[i + 1]] = fitted.dual_coef_[j - 1, edges[i] : edges[i + 1]]
            row[edges[j] : edges[j + 1]] = fitted.dual_coef_[i, edges[j] : edges[j + 1]]
            alphas.append(row)
    sign = -1 if count == 2 else 1  # with two classes scikit-learn turns the sign around
    arrays = {"vectors": fitted.support_vectors_, "gamma": np.array(gamma)}
    return scale | arrays | {"alphas": sign * np.stack(alphas), "bias": sign * fitted.intercept_}


def _trees(fitted: list, found: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    nodes = max(tree.node_count for tree in fitted)

    def padded(values: list[np.ndarray], fill: float) -> np.ndarray:
        return np.stack([np.pad(v, (0, nodes - len(v)), constant_values=fill) for v in values])

    shares = np.zeros((len(fitted), nodes, classes), np.float32)
    for i, tree in enumerate(fitted):
        values = tree.value[:, 0]
        shares[i, : len(values), found] = (values / values.sum(1, keepdims=True)).T
    return {
        "left": padded([t.children_left for t in fitted], -1),
        "right": padded([t.children_right for t in fitted], -1),
        "feature": padded([t.feature for t in fitted], -2),
        "threshold": padded([t.threshold for t in fitted], 0),
        "shares": shares,
    }


def _tree(x: np.ndarray, y: np.ndarray, classes: int, seed: int) -> dict[str, np.ndarray]:
    from sklearn.tree import DecisionTreeClassifier

    fitted = DecisionTreeClassifier(min_samples_leaf=2, random_state=seed).fit(x, y)
    return _trees([fitted.tree_], fitted.classes_, classes)


def _forest(x: np.ndarray, y: np.ndarray, classes: int, seed: int) -> dict[str, np.ndarray]:
    from sklearn.ensemble import RandomForestClassifier

    fitted = RandomForestClassifier(100, n_jobs=-1, random_state=seed).fit(x, y)
    return _trees([tree.tree_ for tree in fitted.estimators_], fitted.classes_, classes)


def _knn(x: np.ndarray, y: np.ndarray, classes: int, seed: int) -> dict[str, np.ndarray]:
    return {"vectors": x, "labels": y}


# name: (what fits it, the module that answers)
LEARNERS: dict[str, tuple[Fit, type[_Learner]]] = {
    "svm": (_svm, Linear),
    "rbf-svm": (_rbf_svm, Kernel),
    "logistic": (_logistic, Linear),
    "forest": (_forest, Trees),
    "tree": (_tree, Trees),
    "knn": (_knn, Neighbors),
}


def fit_learner(name: str, vectors: Tensor, labels: Tensor, classes: int, seed: int) -> nn.Module:
    """Fit a learner of LEARNERS on vectors (N, D) and labels (N,); MissingExtra without scikit-learn."""
    fit, kind = LEARNERS[name]
    try:
        arrays = fit(vectors.cpu().numpy(), labels.cpu().numpy(), classes, seed)
    except ModuleNotFoundError as error:
        raise MissingExtra("scikit-learn", "classic") from error
    return kind({name: _tensor(value) for name, value in arrays.items()})


def _tensor(value: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(value).copy())
    return tensor.float() if tensor.is_floating_point() else tensor.long()
