"""Tables of the papers, as they and the documents print them, with the computed value beside each printed one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from convatlas.claims.claim import prints
from convatlas.claims.count import convolutions, depth, mult_adds, net, parameters
from convatlas.define.operations import Conv
from convatlas.define.shape import show
from convatlas.errors import MisuseError
from convatlas.networks import catalogue


@dataclass(frozen=True)
class Column:
    """What a column says. `compute` gives a number, held against the printed digits, or text, held for equality.

    Without `compute` the column is quoted: an accuracy, which no definition gives.
    """

    title: str
    compute: Callable[[str], float | str] | None = None
    form: str = "{:,.2f}"


@dataclass(frozen=True)
class Cell:
    """A printed value (empty where the paper leaves the cell out), the computed one, and whether they agree."""

    printed: str
    computed: str
    agrees: bool | None
    why: str = ""


@dataclass(frozen=True)
class Table:
    """A published table: rows of (title, network, printed values); `departures` explains what does not agree."""

    key: str
    title: str
    source: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, str, tuple[str, ...]], ...]
    departures: dict[tuple[str, str], str] = field(default_factory=dict)

    def cells(self) -> list[tuple[str, str, list[Cell]]]:
        """(title, network, cells) of each row, computed now."""
        return [
            (
                title,
                name,
                [self._cell(title, name, *pair) for pair in zip(self.columns, printed, strict=True)],
            )
            for title, name, printed in self.rows
        ]

    def _cell(self, title: str, name: str, column: Column, printed: str) -> Cell:
        if column.compute is None:
            return Cell(printed, "", None)
        value = column.compute(name)
        text = value if isinstance(value, str) else column.form.format(value)
        if not printed:
            return Cell("", text, None)
        agrees = value == printed if isinstance(value, str) else prints(printed, value)
        return Cell(printed, text, agrees, self.departures.get((title, column.title), ""))


def _millions(what: Callable[[str], int]) -> Callable[[str], float]:
    return lambda name: what(name) / 1e6


def _billions(name: str) -> float:
    return mult_adds(name) / 1e9


def _deep(name: str) -> str:
    return str(depth(name))


def _vgg_block(number: int) -> Callable[[str], str]:
    def block(name: str) -> str:
        found = [p.node for _, p in net(name)[f"block{number}"].operations() if isinstance(p.node, Conv)]
        return " ".join(f"{conv.kernel}-{conv.width}" for conv in found)

    return block


def _stage(row: str) -> Callable[[str], str]:
    """Blocks of a ResNet stage: 56x56: 3x [1-64 3-64 1-256]."""

    def stage(name: str) -> str:
        placed = net(name)[row]
        body = placed.children[-1][1]["body"]
        convs = [p.node for _, p in body.operations() if isinstance(p.node, Conv)]
        words = " ".join(f"{conv.kernel}-{conv.width}" for conv in convs)
        return f"{show(placed.output[1:])}: {len(placed.children)}x [{words}]"

    return stage


def _dense(number: int) -> Callable[[str], str]:
    def block(name: str) -> str:
        placed = net(name)[f"dense_block{number}"]
        return f"{show(placed.output[1:])}: {len(placed.children)}x"

    return block


def _width(row: str) -> Callable[[str], str]:
    return lambda name: str(net(name)[row].output[0])


def _vgg_rows() -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    columns = (
        ("A", "vgg11", 133, 11, "3 3 33 33 33"),
        ("A-LRN", "vgg11_lrn", 133, 11, "3 3 33 33 33"),
        ("B", "vgg13", 133, 13, "33 33 33 33 33"),
        ("C", "vgg16_c", 134, 16, "33 33 331 331 331"),
        ("D", "vgg16", 138, 16, "33 33 333 333 333"),
        ("E", "vgg19", 144, 19, "33 33 3333 3333 3333"),
    )
    widths = (64, 128, 256, 512, 512)
    return tuple(
        (
            letter,
            name,
            (
                str(deep),
                *(
                    " ".join(f"{k}-{w}" for k in block)
                    for block, w in zip(kernels.split(), widths, strict=True)
                ),
                str(million),
                "",
            ),
        )
        for letter, name, million, deep, kernels in columns
    )


def _resnet_rows() -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    basic = ("3-64 3-64", "3-128 3-128", "3-256 3-256", "3-512 3-512")
    neck = ("1-64 3-64 1-256", "1-128 3-128 1-512", "1-256 3-256 1-1024", "1-512 3-512 1-2048")
    columns = (
        ("18-layer", "resnet18_a", (2, 2, 2, 2), basic, "1.8"),
        ("34-layer", "resnet34_a", (3, 4, 6, 3), basic, "3.6"),
        ("50-layer", "resnet50", (3, 4, 6, 3), neck, "3.8"),
        ("101-layer", "resnet101", (3, 4, 23, 3), neck, "7.6"),
        ("152-layer", "resnet152", (3, 8, 36, 3), neck, "11.3"),
    )
    sizes = ("56x56", "28x28", "14x14", "7x7")
    return tuple(
        (
            title,
            name,
            (
                title.partition("-")[0],
                *(f"{s}: {n}x [{b}]" for s, n, b in zip(sizes, counts, blocks, strict=True)),
                flops,
            ),
        )
        for title, name, counts, blocks, flops in columns
    )


def _dense_rows() -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    columns = ((121, (6, 12, 24, 16)), (169, (6, 12, 32, 32)), (201, (6, 12, 48, 32)), (264, (6, 12, 64, 48)))
    sizes = ("56x56", "28x28", "14x14", "7x7")
    return tuple(
        (
            f"DenseNet-{n}",
            f"densenet{n}",
            (str(n), *(f"{s}: {d}x" for s, d in zip(sizes, depths, strict=True)), "", ""),
        )
        for n, depths in columns
    )


_MILLION = (Column("accuracy, %"), Column("million mult-adds", _millions(mult_adds)), Column("million parameters", _millions(parameters)))  # fmt: skip
_LECTURE = "as the lecture of Kuangnan Fang prints it"

TABLES = (
    Table(
        "vgg", "VGG: the configurations", "Simonyan & Zisserman 2015, Tables 1 and 2",
        (
            Column("layers", _deep), *(Column(f"block {i}", _vgg_block(i)) for i in range(1, 6)),
            Column("million parameters", _millions(parameters)), Column("billion mult-adds", _billions),
        ),
        _vgg_rows(),
    ),
    Table(
        "resnet", "ResNet: the networks for ImageNet", f"He et al. 2016, Table 1; {_LECTURE}",
        (Column("layers", _deep), *(Column(f"conv{i}_x", _stage(f"conv{i}")) for i in range(2, 6)), Column("billion FLOPs (mult-adds)", _billions)),
        _resnet_rows(),
    ),
    Table(
        "densenet", "DenseNet: the networks for ImageNet, k = 32", f"Huang et al. 2017, Table 1; {_LECTURE}",
        (
            Column("layers", _deep), *(Column(f"block {i}", _dense(i)) for i in range(1, 5)),
            Column("million parameters", _millions(parameters)), Column("billion mult-adds", _billions),
        ),
        _dense_rows(),
        {("DenseNet-264", "layers"): "the printed blocks have 1 + 2·6 + 1 + 2·12 + 1 + 2·64 + 1 + 2·48 + 1 layers: 265, one more than the name"},
    ),
    Table(
        "mobilenet-width", "MobileNet: width multiplier", f"Howard et al. 2017, Table 6; {_LECTURE}", _MILLION,
        (
            ("1.0 MobileNet-224", "mobilenet_v1", ("70.6", "569", "4.2")), ("0.75 MobileNet-224", "mobilenet_v1_x0_75", ("68.4", "325", "2.6")),
            ("0.5 MobileNet-224", "mobilenet_v1_x0_5", ("63.7", "149", "1.3")), ("0.25 MobileNet-224", "mobilenet_v1_x0_25", ("50.6", "41", "0.5")),
        ),
    ),
    Table(
        "mobilenet-resolution", "MobileNet: resolution multiplier", f"Howard et al. 2017, Table 7; {_LECTURE}", _MILLION,
        (
            ("1.0 MobileNet-224", "mobilenet_v1", ("70.6", "569", "4.2")), ("1.0 MobileNet-192", "mobilenet_v1@192", ("69.1", "418", "4.2")),
            ("1.0 MobileNet-160", "mobilenet_v1@160", ("67.2", "290", "4.2")), ("1.0 MobileNet-128", "mobilenet_v1@128", ("64.4", "186", "4.2")),
        ),
    ),
    Table(
        "mobilenet-others", "MobileNet against popular networks", f"Howard et al. 2017, Tables 8 and 9; {_LECTURE}", _MILLION,
        (
            ("1.0 MobileNet-224", "mobilenet_v1", ("70.6", "569", "4.2")), ("GoogLeNet", "googlenet", ("69.8", "1550", "6.8")),
            ("VGG 16", "vgg16", ("71.5", "15300", "138")), ("0.50 MobileNet-160", "mobilenet_v1_x0_5@160", ("60.2", "76", "1.32")),
            ("SqueezeNet", "squeezenet1_0", ("57.5", "1700", "1.25")), ("AlexNet", "alexnet", ("57.2", "720", "60")),
        ),
        {
            ("GoogLeNet", "million mult-adds"): "neither the 1502 of GoogLeNet's own table nor its true cost",
            ("GoogLeNet", "million parameters"): "the sum of GoogLeNet's own table, two rows of which are wrong",
            ("VGG 16", "million mult-adds"): "the convolutions alone: 15,346.6",
            ("0.50 MobileNet-160", "million parameters"): "without batch norm: 1.32",
            ("SqueezeNet", "million mult-adds"): "floating-point operations, two a mult-add, where the column has mult-adds",
            ("AlexNet", "million mult-adds"): "724 to two digits",
        },
    ),
    Table(
        "shufflenet-groups", "ShuffleNet: groups at about one cost", f"Zhang et al. 2018, Table 1; {_LECTURE}",
        (
            *(Column(f"stage {i}", _width(f"stage{i}")) for i in (2, 3, 4)),
            Column("million mult-adds of the convolutions", _millions(convolutions)), Column("million mult-adds", _millions(mult_adds)),
        ),
        tuple(
            (f"g = {g}", f"shufflenet_v1_g{g}", (str(w), str(2 * w), str(4 * w), m, ""))
            for g, w, m in ((1, 144, "143"), (2, 200, "140"), (3, 240, "137"), (4, 272, "133"), (8, 384, "137"))
        ),
    ),
)  # fmt: skip


def table(key: str) -> Table:
    """The table of that key; MisuseError lists the keys."""
    for found in TABLES:
        if found.key == key:
            return found
    raise MisuseError(f"unknown table {key!r}; there are: {', '.join(t.key for t in TABLES)}")


def quoted_accuracies(found: Table) -> list[tuple[str, str, bool]]:
    """(row, printed, whether a published result of the network has it) for each quoted accuracy."""
    place = next((i for i, column in enumerate(found.columns) if column.compute is None), None)
    if place is None:
        return []
    checked = []
    for title, name, printed in found.rows:
        results = catalogue.facts(name).accuracies
        known = {
            round(r.top1 if r.kind == "accuracy" else 100 - r.top1, 2) for r in results if r.top1 is not None
        }
        checked.append((title, printed[place], float(printed[place]) in known))
    return checked
