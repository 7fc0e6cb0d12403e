"""Layers of an int8 model put back in floating point: all of them give float32 again, each by name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from convatlas.inference.checking import Bounds
from convatlas.inference.engines import Plan, Workbench, sensitive
from convatlas.inference.engines.openvino import OpenVino, compiled_runner, quantize, read
from convatlas.inference.images import Evidence
from convatlas.inference.search import Search

pytestmark = [pytest.mark.slow, pytest.mark.oracle]


class Small(nn.Module):
    """Convolutions of each kind that OpenVINO quantizes, a join and a pooling between them, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU(),
        )  # fmt: skip
        self.left, self.right = nn.Conv2d(16, 8, 1), nn.Conv2d(16, 16, 3, padding=1)
        self.after = nn.Conv2d(24, 24, 1)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        x = torch.cat([self.left(x).relu(), self.right(x).relu()], 1)
        x = self.after(nn.functional.max_pool2d(x, 3, 2)).relu()
        return 20 * self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def bench() -> Workbench:
    pytest.importorskip("nncf")
    pytest.importorskip("openvino")
    images = torch.randn(24, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    return Workbench(Small().eval(), images, images, torch.device("cpu"))


def answers(model: object, images: Tensor) -> Tensor:
    return compiled_runner(model, Plan("openvino", "float32"), tuple(images.shape))(images)


def test_all_layers_put_back_are_the_network_in_float32_and_some_are_nearer_than_none(
    bench: Workbench,
) -> None:
    source = read(bench)
    quantized = quantize(source, bench.calibration)
    images = bench.calibration
    expected = answers(source, images)
    assert not torch.allclose(answers(quantized, images), expected, rtol=1e-3, atol=1e-3)
    ranks = sensitive.rank(quantized, source, images, answers)
    assert sorted(ranks) == sorted(sensitive.layers(source))
    assert len(ranks) == 6
    whole = answers(sensitive.put_back(quantized, source, ranks), images)
    torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-4)
    distance = [
        float((answers(sensitive.put_back(quantized, source, ranks[:n]), images) - expected).abs().mean())
        for n in (0, 2, 6)
    ]
    assert distance[0] > distance[1] > distance[2]


def test_the_search_keeps_layers_where_int8_alone_is_outside_of_its_bounds(bench: Workbench) -> None:
    # between what four layers in int8 move and what two do
    def search(difference: float) -> Search:
        found = Search(
            bench.model,
            bench.example,
            "int8",
            engines=("openvino",),
            bounds={"int8": Bounds(0.0, difference)},
        )
        found.begin(Evidence(bench.calibration, bench.calibration, real=True))
        return found

    probe = search(1.0)
    probe.bench.made = bench.made
    assert probe.attempt(Plan("openvino", "int8"))
    alone = probe.report.rows[-1].verdict
    assert probe.attempt(Plan("openvino", "int8", kept=2))
    two = probe.report.rows[-1].verdict
    assert alone is not None and two is not None and two.difference < alone.difference
    real = search((alone.difference + two.difference) / 2)
    real.bench.made = bench.made
    real._try_engine(OpenVino())
    assert [row.plan.kept for row in real.report.rows] == [0, 2]
    assert [plan.kept for plan in real.passed] == [2]
    assert "int8 but 2 layers" in str(real.report)
