"""Images handed to int8 networks as bytes: the bytes that the formula says, and the answers of the model that rounds itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from convatlas.inference.engines import ENGINES, Plan, Workbench
from convatlas.inference.engines.importing import import_problem
from convatlas.inference.engines.input_bytes import Grid, kernels
from convatlas.native import Native

compiled = pytest.mark.skipif(kernels().library is None, reason=f"no compiled kernel: {kernels().problem}")
PROBLEM = import_problem(("openvino", "nncf"), "openvino")
quantizes = pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))


@compiled
@given(
    n=st.integers(1, 3), channels=st.integers(1, 9), height=st.integers(1, 20), width=st.integers(1, 20),
    signed=st.booleans(), step=st.sampled_from([0.25, 0.5, 2.0]), seed=st.integers(0, 99),
)  # fmt: skip
def test_bytes_are_those_of_the_formula(
    n: int, channels: int, height: int, width: int, signed: bool, step: float, seed: int
) -> None:
    """Steps of powers of two, and values of halves of them: nothing is lost, and ties are met."""
    grid = Grid(step, signed)
    halves = torch.randint(
        -600, 600, (n, channels, height, width), generator=torch.Generator().manual_seed(seed)
    )
    images = halves * step / 2
    out = torch.empty(n, height, width, channels, dtype=grid.dtype())
    grid.fill(out, images)
    low, high = (-128, 127) if signed else (0, 255)
    expected = (images / step).double().round().clamp(low, high).permute(0, 2, 3, 1)
    assert torch.equal(out.double(), expected)


@compiled
def test_what_is_no_number_or_has_another_shape() -> None:
    images = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e30]).view(1, 1, 2, 2)
    out = torch.empty(1, 2, 2, 1, dtype=torch.uint8)
    Grid(0.1, signed=False).fill(out, images)
    assert out.flatten().tolist() == [0, 255, 0, 255]
    with pytest.raises(ValueError, match=r"bytes of \(1, 2, 2, 1\)"):
        Grid(0.1, signed=False).fill(out, torch.zeros(1, 1, 2, 3))


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
    ]
    return nn.Sequential(*layers).eval()


@compiled
@quantizes
@pytest.mark.parametrize("shift", [0.0, 3.0, 0.7], ids=["both signs", "one sign", "mostly one sign"])
@torch.no_grad()
def test_answers_are_those_of_the_model_that_rounds_itself(
    shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = network(), torch.rand(12, 3, 10, 10) * 2 - 1 + shift
    bench = Workbench(model, images[:2], images, torch.device("cpu"))
    plan, filled = Plan("openvino", "int8", 1, 1), []
    fill = Grid.fill

    def counted(self: Grid, out: Tensor, images: Tensor) -> None:
        filled.append(self)
        fill(self, out, images)

    monkeypatch.setattr(Grid, "fill", counted)
    run = ENGINES["openvino"].prepare(bench, plan)(2)
    answers = [
        run(x) for x in (images[2:4], images[2:4].to(memory_format=torch.channels_last), images[2:4].double())
    ]
    assert len(filled) == 3
    with monkeypatch.context() as patch:
        patch.setattr("convatlas.inference.engines.openvino.kernels", lambda: Native(None, "no compiler"))
        without = ENGINES["openvino"].prepare(bench, plan)(2)
    expected: Tensor = without(images[2:4])
    assert len(filled) == 3
    for answer in answers:
        # a value in the middle between two bytes may go to the other one
        torch.testing.assert_close(answer, expected, atol=0.02 * float(expected.std()), rtol=0)
    assert (expected - model(images[2:4])).norm() < 0.5 * expected.norm()
    # the next images are not answered by the bytes of these
    torch.testing.assert_close(
        run(images[4:6]), without(images[4:6]), atol=0.02 * float(expected.std()), rtol=0
    )
    assert not torch.allclose(run(images[4:6]), expected, atol=0.1 * float(expected.std()), rtol=0)
    assert filled[0].signed == bool((images < 0).any())
    with pytest.raises(ValueError, match="compiled for"):
        run(images[:1])


@quantizes
def test_a_first_layer_in_float32_reads_floats() -> None:
    import openvino

    from convatlas.inference.engines.openvino_bytes import take_bytes

    source = openvino.convert_model(network(), example_input=torch.zeros(1, 3, 10, 10))
    source.reshape([1, 3, 10, 10])
    assert take_bytes(source) is None
