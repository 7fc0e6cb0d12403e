"""A family costs fewer lines than in torchvision, timm or Keras: definitions that read as tables stay short."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from code_lines import code_lines  # noqa: E402

# The fewest lines of the three, as counted when the design was made (imports and weight metadata left out).
SMALLEST_PEER = {
    "vgg": 59,
    "googlenet": 185,
    "inception": 263,
    "resnet": 209,
    "densenet": 152,
    "shufflenet": 123,
}
PEERS = {
    "alexnet": ["torchvision/models/alexnet.py"],
    "vgg": ["torchvision/models/vgg.py", "timm/models/vgg.py"],
    "googlenet": ["torchvision/models/googlenet.py"],
    "inception": ["torchvision/models/inception.py", "timm/models/inception_v3.py"],
    "inception_v4": ["timm/models/inception_v4.py", "timm/models/inception_resnet_v2.py"],
    "xception": ["timm/models/xception.py"],
    "resnet": ["torchvision/models/resnet.py", "timm/models/resnet.py"],
    "densenet": ["torchvision/models/densenet.py", "timm/models/densenet.py"],
    "senet": ["timm/models/senet.py"],
    "squeezenet": ["torchvision/models/squeezenet.py"],
    "shufflenet": ["torchvision/models/shufflenetv2.py"],
    "mobilenet": [
        "torchvision/models/mobilenetv2.py",
        "torchvision/models/mobilenetv3.py",
        "timm/models/mobilenetv3.py",
        "keras/src/applications/mobilenet.py",
        "keras/src/applications/mobilenet_v2.py",
    ],
}


def ours(module: str) -> int:
    return code_lines((ROOT / f"convatlas/networks/{module}.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("module", "fewest"), SMALLEST_PEER.items())
def test_a_family_has_fewer_lines_than_its_smallest_peer(module: str, fewest: int) -> None:
    assert ours(module) < fewest


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("module", "path"), [(module, path) for module, paths in PEERS.items() for path in paths]
)
def test_a_family_has_fewer_lines_than_the_peer_beside_us(module: str, path: str) -> None:
    package, _, rest = path.partition("/")
    spec = importlib.util.find_spec(package)  # finds the folder and imports nothing
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    assert ours(module) < code_lines((Path(spec.origin).parent / rest).read_text(encoding="utf-8"))
