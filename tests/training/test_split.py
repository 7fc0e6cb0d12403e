"""What is set aside of the training pictures."""

from __future__ import annotations

import dataclasses

import pytest

from convatlas.data.sources import DataSource
from convatlas.training.split import hold_out


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_every_class_is_on_both_sides(source: DataSource, share: float, count: int) -> None:
    few = dataclasses.replace(source, train=source.train.subset(range(2 * count)))
    found, _ = hold_out(few, share, 1)
    assert set(found.train.labels.tolist()) == set(found.test.labels.tolist()) == {0, 1}
    assert len(found.train) + len(found.test) == 2 * count
