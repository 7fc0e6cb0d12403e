"""What every format is given to write."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from torch import Tensor, nn

from convatlas._version import __version__
from convatlas.define import Network
from convatlas.define.preprocessing import Preprocessing
from convatlas.define.serialize import network_to_dict


@dataclass
class Job:
    """A network to export and its images.

    model: takes `images` as they are (floats, or uint8 pixels). float_model: takes `floats`, the same photos
    normalized; its float32 answers are what the file is compared with. opset: of ONNX.
    """

    name: str
    model: nn.Module
    float_model: nn.Module
    network: Network
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    precision: str
    images: Tensor
    floats: Tensor
    opset: int
    layout: str | None = None
    provenance: dict[str, object] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """What travels in the file: strings by name, values that are not text as JSON."""
        pixels = (
            None
            if self.layout is None
            else {"type": "uint8", "layout": self.layout, "size": list(self.images.shape[1:])}
        )
        return {
            "convatlas": __version__,
            "network": self.name,
            "definition": json.dumps(network_to_dict(self.network)),
            "classes": json.dumps(list(self.classes), ensure_ascii=False),
            "preprocessing": json.dumps(self.preprocessing.to_dict()),
            "preprocessing_in_graph": json.dumps(pixels),
            "precision": self.precision,
            "provenance": json.dumps(self.provenance),
        }
