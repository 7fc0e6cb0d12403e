"""What must not be loaded for an answer that needs none of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "numpy", "PIL", "safetensors", "rich", "scipy", "sklearn", "matplotlib"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["list", "--json"],
        ["show", "resnet152"],
        ["show", "resnet152", "--json"],
        ["show", "inception_v4", "--input", "3x331x331", "--classes", "7"],
        ["show", "googlenet", "--code"],
        ["train", "--help"],
        ["predict", "--help"],
        ["nonsense"],
    ],
)
def test_light_commands_load_neither_torch_nor_numpy(arguments: list[str]) -> None:
    script = (
        "import sys, json; from convatlas.cli import main; code = main(sys.argv[1:]);"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "convatlas" in loaded
    assert not loaded & HEAVY


def test_importing_the_package_loads_almost_nothing() -> None:
    script = "import sys; before = set(sys.modules); import convatlas; print(len(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10


# A finder that knows no optional package: the base install, without another environment for it.
BARE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from convatlas.cli import main
sys.exit(main(sys.argv[1:]))
"""


def bare(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = BARE.format(
        absent=HEAVY | {"simplejpeg", "onnx", "openvino", "resvg_py", "typst", "h5py", "skimage"}
    )
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["show", "densenet121"],
        ["show", "lenet5_1998", "--code"],
        ["draw", "vgg16", "-o", "{tmp}/v.svg"],
        ["doctor"],
    ],
)
def test_the_base_install_needs_no_package(arguments: list[str], tmp_path: Path) -> None:
    done = bare(*(word.format(tmp=tmp_path) for word in arguments))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["train", "lenet5", "--out", "{tmp}/run"], "torch"),
        (["evaluate", "{tmp}"], "torch"),
        (["predict", "{tmp}", "x.png"], "torch"),
        (["import", "vgg16", "{tmp}/x.pth", "-o", "{tmp}/y.safetensors"], "torch"),
        (["draw", "vgg16", "-o", "{tmp}/v.png"], "png"),
        (["draw", "vgg16", "-o", "{tmp}/v.pdf"], "pdf"),
    ],
)
def test_what_needs_an_extra_names_its_install_command(
    arguments: list[str], extra: str, tmp_path: Path
) -> None:
    done = bare(*(word.format(tmp=tmp_path) for word in arguments))
    assert done.returncode == 1
    assert f"pip install 'convatlas[{extra}]'" in done.stderr
    assert done.stderr.count("\n") == 1
