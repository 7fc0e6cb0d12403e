"""The Python face: what `import convatlas as ca` offers. A door; nothing is computed here.

Definitions, numbers and pictures need no torch: what does is imported where it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from convatlas import define
from convatlas.define import Network, Shape
from convatlas.define.facts import Facts
from convatlas.errors import ConvAtlasError, MissingExtra, MisuseError
from convatlas.networks import catalogue

if TYPE_CHECKING:
    import torch
    from torch import nn

    from convatlas.analysis.table import Layer
    from convatlas.drawing.comparison import Comparison
    from convatlas.inference.optimize import Images, Optimized
    from convatlas.modules import ConvNet
    from convatlas.weights.checkpoint import LoadReport

__all__ = [
    "CatalogueNetwork",
    "ConvAtlasError",
    "MissingExtra",
    "MisuseError",
    "compare",
    "create_model",
    "load_checkpoint",
    "names",
    "network",
    "optimize",
]


_N = TypeVar("_N", bound=Network)


class CatalogueNetwork(Network):
    """A network of the catalogue, with its numbers and its published facts; edits of it keep both at hand.

    Numbers (`parameters`, `mult_adds`, `depth`, `classes`) are computed from the definition as it is now;
    facts (`family`, `year`, `title`, `facts`) are those of the network whose name it bears.
    """

    __slots__ = ()

    @classmethod
    def of(cls, network: Network) -> Self:
        """The same definition, with this face."""
        return cls(
            input=network.input,
            aux=dict(network.aux),
            init=network.init,
            name=network.name,
            rows=network.rows,
        )

    @property
    def family(self) -> str:
        """The family file that declares it."""
        return catalogue.entry(self.name).family

    @property
    def year(self) -> int:
        """The year of first publication."""
        return catalogue.entry(self.name).year

    @property
    def title(self) -> str:
        """Its name as people write it."""
        return catalogue.entry(self.name).title

    @property
    def facts(self) -> Facts:
        """What was published about it: paper, claims, accuracies, what popular copies get wrong."""
        return catalogue.facts(self.name)

    @property
    def classes(self) -> int:
        """The number of outputs."""
        return define.elaborate(self).output[0]

    @property
    def parameters(self) -> int:
        """Trained parameters of the main path."""
        return define.elaborate(self).parameters

    @property
    def mult_adds(self) -> int:
        """Mult-adds of convolutions and linear layers, for one image."""
        return define.elaborate(self).mult_adds

    @property
    def depth(self) -> int:
        """Layers with weights on the longest path, as the papers count."""
        from convatlas.analysis.depth import depth

        return depth(define.elaborate(self))

    def table(self) -> LayerTable:
        """The layer table: a sequence of rows, which prints as a table."""
        return LayerTable(define.elaborate(self))

    def draw(self, path: str | Path) -> Path:
        """Write the figure to `path` (.svg; .png and .pdf with the extra of that name), and return the path."""
        from convatlas.drawing.figure import figure
        from convatlas.drawing.files import write

        return write(figure(self, facts=self.facts), Path(path))

    def summary(self) -> dict[str, Any]:
        """The line of `convatlas list --json`."""
        from convatlas.analysis.depth import depth

        placed = define.elaborate(self)
        return {
            "name": self.name,
            "family": self.family,
            "year": self.year,
            "title": self.title,
            "input": list(self.input),
            "classes": placed.output[0],
            "parameters": placed.parameters,
            "mult_adds": placed.mult_adds,
            "depth": depth(placed),
        }


class LayerTable(Sequence["Layer"]):
    """The rows of a layer table, one an operation; `str` and the prompt show it folded, as text."""

    def __init__(self, elaborated: define.Elaborated) -> None:
        from convatlas.analysis.table import layers

        self._elaborated = elaborated
        self._rows = layers(elaborated)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Layer]: ...
    def __getitem__(self, index: int | slice) -> Layer | Sequence[Layer]:
        return self._rows[index]

    def text(self, *, depth: int | None = None, width: int | None = None, color: bool = False) -> str:
        """The table as text: repeated blocks folded, or that many levels opened by `depth`.

        The column `field` is size/stride@start of the receptive field, in pixels of the input; where the
        two axes differ, vertical x horizontal.
        """
        from convatlas.drawing.terminal import layer_table

        fields = {row.name: _field(row) for row in self._rows}
        return layer_table(self._elaborated, depth=depth, width=width, color=color, receptive_fields=fields)

    def __repr__(self) -> str:
        return self.text()


def _field(row: Layer) -> str:
    both = row.receptive_field.to_dict().values()
    size, stride, start = ("x".join(map(str, v)) if isinstance(v, list) else str(v) for v in both)
    return f"{size}/{stride}@{start}"


def names() -> tuple[str, ...]:
    """Every name of the catalogue, in order of publication."""
    return catalogue.names()


def network(
    name: str,
    *,
    input: Shape | None = None,
    classes: int | None = None,
    width: float | None = None,
    aux: bool = True,
) -> CatalogueNetwork:
    """The definition of `name`, at another input shape (C, H, W), class count or width multiplier if given.

    `aux=False` takes its auxiliary heads away, which some input sizes are too small for.
    ``network("mobilenet_v1@192")`` is the same as ``input=(3, 192, 192)``. MisuseError for an unknown name,
    with the nearest ones; ShapeError, naming the row, for what the network cannot be.
    """
    found = CatalogueNetwork.of(catalogue.network(name))
    return _edited(found if aux else define.without_aux(found), input, classes, width)


def _edited(found: _N, input: Shape | None, classes: int | None, width: float | None) -> _N:
    if width is not None:
        found = define.scale_width(found, width)
    if classes is not None:
        found = define.with_classes(found, classes)
    if input is not None:
        found = define.with_input(found, input)
    return found


def compare(*networks: str | Network, protocol: str = "single-crop") -> Comparison:
    """Put networks side by side: names or definitions, as a table that prints, sorts and plots itself.

    Published accuracies are all of one `protocol` (single-crop, 10-crop, dense, 144-crop), never mixed; an edited
    network or another input size has none but those published for it.
    """
    from convatlas.analysis.compare import PROTOCOLS, row
    from convatlas.drawing.comparison import Comparison

    if protocol not in PROTOCOLS:
        raise MisuseError(f"unknown protocol {protocol!r}; there are: {', '.join(PROTOCOLS)}")
    rows = []
    for one in networks:
        found = catalogue.network(one) if isinstance(one, str) else one
        if found.name.partition("@")[0] not in catalogue.ENTRIES:
            rows.append(row(found))
            continue
        entry = catalogue.entry(found.name)
        results = catalogue.published(found)
        rows.append(
            row(
                found,
                title=entry.title,
                family=entry.family,
                year=entry.year,
                results=results,
                protocol=protocol,
            )
        )
    return Comparison(rows, protocol)


def create_model(
    network: str | Network,
    num_classes: int | None = None,
    weights: str | Path | None = None,
    *,
    input: Shape | None = None,
    width: float | None = None,
) -> ConvNet:
    """Build the torch module of a network, initialized by its paper's rule, or with `weights` in it.

    network: a name or a definition. weights: a run folder, a file, an address, or a library that publishes
    them (torchvision, timm, keras). What does not fit is an error that lists it; nothing is half loaded. The
    model's `network` is what the weights were trained as (padding, folded batch norm); another `num_classes` than
    theirs gives it a new classifier.
    """
    _need_torch()
    from convatlas import modules

    found = catalogue.network(network) if isinstance(network, str) else network
    if weights is None:
        return modules.build(_edited(found, input, num_classes, width))
    from convatlas.weights.assemble import model_from

    return model_from(weights, _edited(found, None, None, width), num_classes, input)


def load_checkpoint(
    model: ConvNet, checkpoint: str | Path | Mapping[str, object], source: str = "auto"
) -> LoadReport:
    """Put published weights into `model`: a file or a state dict of torchvision, timm, Keras, Caffe, TFLite or ours.

    The report has what came with them: source, preprocessing, class names. Everything fits, or nothing is touched.
    """
    _need_torch()
    from convatlas.weights.checkpoint import load_checkpoint as load

    return load(model, checkpoint, source)


def optimize(
    model: nn.Module,
    example: torch.Tensor,
    precision: str = "auto",
    accuracy_data: Images | str | Path | None = None,
    explain: Callable[[str], None] | None = None,
    *,
    mode: str = "auto",
    engines: Sequence[str] | None = None,
) -> Optimized:
    """Give the fastest callable for batches like `example` whose answers stay within stated bounds of float32's.

    precision: auto, float32, bf16 or int8. accuracy_data: real images, for the check and for int8: a folder of
    pictures, or a tensor or batches as the model takes them. explain: told every candidate, its speed, its error and
    why it was or wasn't taken, as print. mode: latency, throughput, auto (by the example's batch). engines: names to
    try; without them all that compile in seconds.
    """
    _need_torch()
    from convatlas.inference import optimize as find

    return find(model, example, precision, accuracy_data, mode=mode, engines=engines, explain=explain)


def _need_torch() -> None:
    """Say which extra brings torch, where a module lower down would only fail to import it."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("PyTorch", "torch") from error
