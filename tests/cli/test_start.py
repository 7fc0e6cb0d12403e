"""What must not be loaded for an answer that needs none of it."""

from __future__ import annotations

import json
import subprocess
import sys

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
