"""Random series-parallel networks that fit together: every operation, every combinator, every padding rule."""

from __future__ import annotations

from hypothesis import strategies as st

from convatlas import define as d
from convatlas.define import Network, Node, Shape

ACTIVATIONS = (
    d.ReLU(),
    d.ReLU6(),
    d.HardSwish(),
    d.HardSigmoid(),
    d.Sigmoid(),
    d.Tanh(),
    d.Tanh(1.7159, 2 / 3),
)


def output_of(node: Node, shape: Shape) -> Shape | None:
    """Shape that `node` gives, or None where it does not fit."""
    try:
        return d.elaborate(Network(input=shape, row=node)).output
    except d.ShapeError:
        return None


@st.composite
def operation(draw: st.DrawFn, shape: Shape) -> Node:
    """One operation that fits `shape`, (C, H, W)."""
    channels, _height, _width = shape
    kernel = st.integers(1, 4) | st.tuples(st.integers(1, 4), st.integers(1, 4))
    stride = st.integers(1, 3) | st.tuples(st.integers(1, 2), st.integers(1, 3))
    rule = st.sampled_from(["same", "same_tf", "valid", "full", 0, 1, 2, (1, 0), (0, 2)])
    groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    table = draw(
        st.lists(
            st.lists(st.integers(0, channels - 1), min_size=1, max_size=channels, unique=True),
            min_size=1,
            max_size=4,
        )
    )
    candidates = st.one_of(
        st.builds(
            d.Conv,
            st.integers(1, 3).map(lambda n: n * groups),
            kernel,
            stride,
            rule,
            st.just(groups),
            st.booleans(),
            st.integers(1, 2),
        ),
        st.builds(d.DepthwiseConv, kernel, stride, rule, st.booleans(), st.integers(1, 2)),
        st.builds(
            d.TableConv,
            st.just(len(table)),
            kernel,
            st.just(tuple(map(tuple, table))),
            stride,
            rule,
            st.booleans(),
        ),
        st.builds(d.MaxPool, kernel, stride | st.none(), rule, st.booleans()),
        st.builds(d.AvgPool, kernel, stride | st.none(), rule, st.booleans(), st.booleans()),
        st.builds(d.Subsampling, st.integers(1, 3)),
        st.builds(d.AdaptiveAvgPool, st.tuples(*(st.integers(1, side) for side in shape[1:]))),
        st.builds(d.BatchNorm, scale=st.booleans()),
        st.builds(d.LRN, st.integers(1, 5)),
        st.sampled_from(ACTIVATIONS),
        st.builds(d.Dropout, st.floats(0, 0.9)),
        st.just(d.ChannelShuffle(groups)),
        st.just(d.Slice(draw(st.integers(0, groups - 1)), groups)),
        st.builds(
            d.PadShortcut,
            st.integers(channels, channels + 5),
            st.integers(1, 3),
            st.sampled_from(["both", "end"]),
        ),
    )
    return draw(candidates.filter(lambda op: output_of(op, shape) is not None))


@st.composite
def block(draw: st.DrawFn, shape: Shape, depth: int = 2) -> Node:
    """A tree on feature maps."""
    kinds = (
        ["operation"]
        if depth == 0
        else [
            "operation",
            "series",
            "concat",
            "residual",
            "projection",
            "dense",
            "gate",
            "towers",
            "separable",
        ]
    )
    kind = draw(st.sampled_from(kinds))
    channels, height, width = shape
    if kind == "series":
        return draw(series(shape, depth - 1))
    if kind == "concat":
        first = draw(block(shape, depth - 1))
        size = output_of(first, shape)[1:]  # type: ignore[index]
        other = (
            d.Conv(draw(st.integers(1, 3)), 1)
            if size == (height, width)
            else _to(size, shape, draw(st.integers(1, 3)))
        )
        return d.Concat(a=first, b=other)
    if kind == "residual":
        inner = draw(series(shape, depth - 1).filter(lambda n: output_of(n, shape)[1:] == (height, width)))  # type: ignore[index]
        closing = d.Conv(channels, draw(st.sampled_from([1, 3])), bias=draw(st.booleans()))
        then = draw(st.none() | st.sampled_from(ACTIVATIONS))
        return d.Residual(
            d.Sequential(inner=inner, close=closing),
            None,
            then,
            draw(st.sampled_from([1.0, 0.2])),
            draw(st.sampled_from([1.0, 0.5])),
        )
    if kind == "projection":
        body = draw(block(shape, depth - 1))
        out = output_of(body, shape)
        return d.Residual(body, _to(out[1:], shape, out[0]), draw(st.none() | st.just(d.ReLU())))  # type: ignore[index]
    if kind == "dense":
        steps = draw(st.integers(1, 3))
        return d.Dense(
            **{
                f"step{i}": d.Sequential(norm=d.BatchNorm(), conv=d.Conv(draw(st.integers(1, 3)), 3))
                for i in range(steps)
            }
        )
    if kind == "gate":
        return d.Gate(
            pool=d.GlobalAvgPool(),
            reduce=d.Linear(2),
            relu=d.ReLU(),
            expand=d.Linear(channels),
            sigmoid=d.Sigmoid(),
        )
    if kind == "towers":
        lanes = draw(st.sampled_from([n for n in (1, 2, 3) if channels % n == 0]))
        return d.Towers(lanes, conv=d.Conv(lanes * draw(st.integers(1, 2)), 3), relu=d.ReLU())
    if kind == "separable":
        return d.Separable(
            depthwise=d.DepthwiseConv(3, bias=False), pointwise=d.Conv(draw(st.integers(1, 4)), 1)
        )
    return draw(operation(shape))


def _to(size: Shape, shape: Shape, width: int) -> Node:
    """A projection from `shape` to (width, *size): global pooling has no place here, so a valid kernel does it."""
    down = tuple(n // m if m <= n else 1 for n, m in zip(shape[1:], size, strict=True))
    kernel = tuple(max(1, n - (m - 1) * s) for n, m, s in zip(shape[1:], size, down, strict=True))
    grow = tuple(max(0, m - n) for n, m in zip(shape[1:], size, strict=True))
    if any(grow):
        pad = tuple(-(-g // 2) for g in grow)
        kernel = tuple(
            n + 2 * p - m + 1 if g else k
            for n, m, p, g, k in zip(shape[1:], size, pad, grow, kernel, strict=True)
        )
        return d.Conv(width, kernel, down, pad)  # type: ignore[arg-type]
    return d.Conv(width, kernel, down, "valid")  # type: ignore[arg-type]


@st.composite
def series(draw: st.DrawFn, shape: Shape, depth: int) -> Node:
    rows: dict[str, Node] = {}
    here = shape
    for i in range(draw(st.integers(1, 3))):
        node = draw(block(here, depth))
        out = output_of(node, here)
        if out is None or len(out) != 3:
            continue
        rows[f"row{i}"] = node
        here = out
    return d.Sequential(**rows)


@st.composite
def networks(draw: st.DrawFn, *, classifier: bool = True) -> Network:
    """A whole network on a small image, ending in a classifier unless told otherwise."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(5, 13)), draw(st.integers(5, 13)))
    body = draw(series(shape, 2))
    rows: dict[str, Node] = {"body": body}
    if classifier:
        end = draw(st.sampled_from([d.Flatten(), d.GlobalAvgPool(), d.GlobalMaxPool()]))
        rows |= {"end": end, "fc": d.Linear(draw(st.integers(1, 5)), draw(st.booleans()))}
    return Network(input=shape, **rows)
