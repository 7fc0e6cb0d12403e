"""The methods against their definitions, on networks small enough to know the answer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convatlas.define import (
    LRN,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Network,
    ReLU,
    Residual,
    Sequential,
    elaborate,
)
from convatlas.define.preprocessing import Preprocessing
from convatlas.errors import MisuseError
from convatlas.explain.deconvnet import by_layers, by_rule, deconvnet, strongest
from convatlas.explain.grad_cam import grad_cam
from convatlas.explain.gradients import guided_backpropagation, saliency
from convatlas.explain.maximize import maximize, of_classes
from convatlas.explain.methods import _in_pairs_of_rows
from convatlas.explain.occlusion import occlusion
from convatlas.explain.rows import cam_row, find_row, rows_by_resolution, unbranched
from convatlas.explain.subject import class_index, private, run
from convatlas.modules import ConvNet, build
from convatlas.networks import catalogue


def made(**rows: object) -> ConvNet:
    model = build(Network(input=(3, 23, 23), **rows))  # type: ignore[arg-type]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            module.weight.data.normal_()
    return model.eval()


def photo() -> torch.Tensor:
    return torch.randn(1, 3, 23, 23)


def test_deconvnet_of_linear_convolutions_is_their_transpose():
    model = made(
        a=Conv(8, 5, stride=2, padding=1), b=Conv(6, 3, stride=3, groups=2), gap=GlobalAvgPool(), fc=Linear(4)
    )
    x = photo().requires_grad_()
    maps = model.features(x, "b")["b"]
    signal = strongest(maps.detach(), [4])
    (expected,) = torch.autograd.grad(maps, x, signal)
    found = deconvnet(model, elaborate(model.network), x.detach(), "b", [4])
    torch.testing.assert_close(found, expected)


def test_layer_by_layer_and_by_rule_agree_where_layers_stand_in_series():
    model = made(
        a=Sequential(conv=Conv(8, 5, stride=2, padding=1), relu=ReLU()),
        pool=MaxPool(3, stride=2, ceil=True),
        norm=LRN(5),
        b=Sequential(conv=Conv(8, 3, padding="same_tf"), norm=BatchNorm(), relu=ReLU()),
        mean=AvgPool(2),
        c=Sequential(conv=Conv(8, 2), relu=ReLU()),
        gap=GlobalAvgPool(),
        fc=Linear(4),
    )
    x, channels = photo(), [0, 3, 7]
    paths = unbranched(elaborate(model.network), "c")
    assert paths is not None
    by_paper = by_layers([private(model).get_submodule(p) for p in paths], x, channels)
    assert by_paper.abs().sum() > 0
    torch.testing.assert_close(by_paper, by_rule(model, x, "c", channels))


def test_what_goes_down_a_deconvnet_is_never_below_zero_at_a_rectifier():
    # one convolution, one ReLU, a signal: transposed filter times the activation, whatever the filter's signs
    model = made(a=Conv(2, 3, padding=0), relu=ReLU(), gap=GlobalAvgPool(), fc=Linear(2))
    x = photo()
    maps = model.features(x, "relu")["relu"]
    found = deconvnet(model, elaborate(model.network), x, "relu", [1])[0]
    place = int(maps[0, 1].argmax())
    top, left = place // maps.shape[3], place % maps.shape[3]
    weight = model.get_submodule("a").weight[1] * maps[0, 1].max()  # type: ignore[index, operator]
    torch.testing.assert_close(found[:, top : top + 3, left : left + 3], weight.detach())


def test_guided_backpropagation_without_rectifiers_is_the_gradient():
    model = made(a=Conv(8, 3), pool=MaxPool(2), gap=GlobalAvgPool(), fc=Linear(4))
    x = photo().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0, 2], x)
    torch.testing.assert_close(guided_backpropagation(model, x, 2), gradient[0])


def test_guided_backpropagation_passes_what_both_rules_pass():
    # x -> relu -> w.relu: the signal is w where w > 0 and x > 0
    model = made(relu=ReLU(), flatten=Flatten(), fc=Linear(2))
    x = photo()
    weight = model.get_submodule("fc").weight[1].detach().view(3, 23, 23)  # type: ignore[index, union-attr]
    expected = weight * (weight > 0) * (x[0] > 0)
    torch.testing.assert_close(guided_backpropagation(model, x, 1), expected)


def test_saliency_is_the_largest_gradient_over_the_channels():
    model = made(a=Sequential(conv=Conv(8, 3), relu=ReLU()), gap=GlobalAvgPool(), fc=Linear(4))
    x = photo().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0, 1], x)
    torch.testing.assert_close(saliency(model, x, 1), gradient[0].abs().max(0).values)


def test_grad_cam_before_mean_and_linear_layer_is_cam():
    # Selvaraju et al. 2017, appendix A: there the weights are those of the class, over the number of places
    model = made(a=Sequential(conv=Conv(8, 3), relu=ReLU()), gap=GlobalAvgPool(), fc=Linear(4))
    x = photo()
    maps = model.features(x, "a")["a"][0].detach()
    weights = model.get_submodule("fc").weight[3].detach() / maps[0].numel()  # type: ignore[index, union-attr]
    expected = torch.einsum("c,chw->hw", weights, maps).clamp(min=0)
    torch.testing.assert_close(grad_cam(model, x, 3, "a"), expected)


def test_occlusion_finds_the_only_place_that_the_network_looks_at():
    model = made(flatten=Flatten(), fc=Linear(2))
    with torch.no_grad():
        fc = model.get_submodule("fc")
        fc.weight.zero_()  # type: ignore[operator, union-attr]
        fc.bias.zero_()  # type: ignore[operator, union-attr]
        fc.weight[1].view(3, 23, 23)[:, 4:8, 14:18] = 0.1  # type: ignore[index, union-attr]
    x = torch.ones(1, 3, 23, 23)
    found = occlusion(model, x, 1, patch=4, stride=1, batch=100)
    assert found.shape == (23, 23)
    row, column = divmod(int(found.argmin()), 23)
    assert (row, column) == (6, 16)  # the square of 4 centred there covers rows 4 to 7, columns 14 to 17
    assert float(found.min()) == pytest.approx(0.5)  # nothing left to see
    assert float(found[20, 2]) == pytest.approx(model(x).softmax(1)[0, 1].item())  # elsewhere nothing changes


def test_the_picture_that_excites_a_class_raises_its_probability_and_repeats_by_seed():
    model = made(a=Sequential(conv=Conv(8, 5), relu=ReLU()), gap=GlobalAvgPool(), fc=Linear(4))
    p = Preprocessing(resize=None, crop=23)
    results = [maximize(model, of_classes([2]), 1, (3, 23, 23), p, steps=n, seed=5) for n in (1, 30, 30)]
    assert torch.equal(results[1], results[2])
    assert results[1].min() >= 0 and results[1].max() <= 1
    before, after = (model((r * 255 / p.scale - 0.45) / 0.225)[0, 2] for r in results[:2])
    assert after > before


def test_a_network_of_grey_pictures_is_excited_by_light_on_a_dark_ground():
    torch.manual_seed(1)
    network = Network(input=(1, 16, 16), conv=Conv(4, 5), relu=ReLU(), flat=Flatten(), fc=Linear(3))
    model = build(network).eval()
    plain = Preprocessing(mean=(0.0,), std=(1.0,), channel_order="grey")
    found = maximize(model, of_classes([0, 1, 2]), 3, (1, 16, 16), plain, steps=60, rate=0.08)
    dark = model(torch.zeros(1, 1, 16, 16))[0]
    assert (model(found).diagonal() > dark).all()
    assert float(found.mean()) < 0.3 < float(found.max())


def test_pairs_stand_above_each_other_where_a_row_is_not_full():
    pairs = [["a", 1], ["b", 2], ["c", 3], ["d", 4], ["e", 5]]
    assert _in_pairs_of_rows(pairs, 3) == ["a", "b", "c", 1, 2, 3, "d", "e", None, 4, 5, None]  # type: ignore[arg-type,comparison-overlap]


def test_the_model_is_left_as_it_was():
    model = made(a=Conv(8, 3), relu=ReLU(), gap=GlobalAvgPool(), fc=Linear(4))
    relu = model.get_submodule("relu")
    assert relu.inplace  # in the builder's hands, and so a trap for hooks
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = photo()
    for method in (guided_backpropagation, saliency):
        method(model, x, 0)
    grad_cam(model, x, 0, "a")
    by_rule(model, x, "relu", [0])
    assert model.get_submodule("relu") is relu and relu.inplace
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_what_is_caught_before_an_in_place_relu_is_not_overwritten():
    model = made(a=Conv(8, 3), relu=ReLU(), gap=GlobalAvgPool(), fc=Linear(4))
    with torch.no_grad():
        _, caught = run(private(model), photo(), ["a"])
    assert float(caught["a"].min()) < 0


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("vgg16", "block5"),  # conv5_3, as the Grad-CAM paper takes for VGG-16; not the pooling
        ("alexnet", "conv5"),
        ("resnet50", "conv5"),
        ("googlenet", "inception5b"),
        ("densenet121", "relu"),
        ("squeezenet1_1", "relu10"),
        ("mobilenet_v2", None),
        ("lenet5", "C3"),
    ],
)
def test_grad_cam_looks_at_the_last_maps_before_pooling(name: str, row: str | None):
    elaborated = elaborate(catalogue.network(name))
    found = cam_row(elaborated)
    assert row is None or found == row
    assert max(elaborated[found].output[1:]) > 1


@pytest.mark.parametrize("name", catalogue.names())
def test_every_network_has_rows_to_show(name: str):
    elaborated = elaborate(catalogue.network(name))
    rows = rows_by_resolution(elaborated)
    assert rows and all(find_row(elaborated, row) for row in [*rows, cam_row(elaborated)])


def test_series_and_branches_are_told_apart():
    network = Network(
        input=(3, 9, 9),
        a=Sequential(conv=Conv(4, 3), relu=ReLU()),
        b=Concat(one=Conv(4, 1), two=Conv(4, 1)),
        c=Residual(Conv(8, 1)),
    )
    elaborated = elaborate(network)
    assert unbranched(elaborated, "a") == ["a.conv", "a.relu"]
    assert unbranched(elaborated, "a.conv") == ["a.conv"]
    assert unbranched(elaborated, "b") is None
    assert unbranched(elaborated, "b.one") is None


def test_rows_and_classes_that_are_not_there_are_answered_with_near_ones():
    elaborated = elaborate(catalogue.network("vgg16"))
    with pytest.raises(MisuseError, match="nearest: .*block5"):
        find_row(elaborated, "blok5")
    with pytest.raises(MisuseError, match="no map to show; the last row with maps is block5"):
        find_row(elaborated, "fc1")
    classes = ("toucan", "black_swan", "white_stork", "black_stork")
    assert class_index(classes, "Black swan") == 1
    assert class_index(classes, "3") == 3
    assert class_index(classes, "tou") == 0
    with pytest.raises(MisuseError, match="white_stork, black_stork"):
        class_index(classes, "stork")
    with pytest.raises(MisuseError, match="toucan"):
        class_index(classes, "toucna")
