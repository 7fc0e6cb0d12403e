"""`convatlas doctor`: what this machine has, what is missing and how to get it."""

from __future__ import annotations

import argparse
import platform
import shutil
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING

from convatlas import machine
from convatlas._version import __version__
from convatlas.cli import options
from convatlas.fetch import cache_dir

if TYPE_CHECKING:
    import torch

HELP = "Say what this machine has, what is missing, and how to get it."
EXAMPLES = """\
  convatlas doctor           versions, device, instructions, missing packages
  convatlas doctor --json    the same for a bug report or a script
"""

# What a user gets with each extra; the names are those of pyproject.toml.
PURPOSE = {
    "torch": "to train, evaluate, predict and explain",
    "keras": "to read the weights that Keras publishes",
    "classic": "baselines from before the networks: HOG, SVM, forests",
    "onnx": "ONNX export, ONNX Runtime",
    "openvino": "OpenVINO export and speed",
    "png": "pictures as PNG; SVG needs nothing",
    "pdf": "pictures as PDF",
    "log": "TensorBoard logs",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.as_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the findings; what is missing is no failure."""
    found = findings()
    if args.json:
        options.print_json(found)
    else:
        print("\n".join(_lines(found)))
    return 0


def findings() -> dict[str, object]:
    """Everything that the command prints, ready for JSON."""
    here = machine.machine()
    problems: list[str] = []
    device = _torch(problems)
    cache = cache_dir()
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    missing: dict[str, list[str]] = {}
    for package in machine.packages():
        extra = next((extra for extra in PURPOSE if extra in package.extras), None)
        if extra and package.installed is None:
            missing.setdefault(extra, []).append(package.name)
        elif extra and package.is_old:
            problems.append(
                f"{package.name} {package.installed} is older than {package.least}: pip install -U 'convatlas[{extra}]'"
            )
    return {
        "convatlas": __version__,
        "python": platform.python_version(),
        "machine": {**asdict(here), "instructions": here.instructions},
        "torch": device,
        "packages": {package.name: package.installed for package in machine.packages()},
        "missing": [
            {
                "extra": extra,
                "packages": names,
                "purpose": PURPOSE[extra],
                "install": f"pip install 'convatlas[{extra}]'",
            }
            for extra in PURPOSE
            if (names := missing.get(extra))
        ],
        "cache": {"path": str(cache), "free_bytes": shutil.disk_usage(there).free},
        "problems": problems,
    }


def _torch(problems: list[str]) -> dict[str, object] | None:
    """What torch says of itself and its devices; None where it is not installed."""
    if machine.version_of("torch") is None:
        return None
    try:
        import torch
    except Exception as error:  # noqa: BLE001 (a broken install raises anything; saying so is the command's task)
        problems.append(f"torch {machine.version_of('torch')} is installed but does not load: {error}")
        return None
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    _look_at_torchvision(problems)
    from convatlas.modules import norm

    return {
        "version": torch.__version__,
        "device": "cuda" if gpus else "mps" if torch.backends.mps.is_available() else "cpu",
        "gpus": gpus,
        "threads": torch.get_num_threads(),
        "kernels": _kernels(),
        "gpu_kernels": norm.unfused(torch.device("cuda")) if gpus else None,
        "bf16_speed": round(_bf16_speed(torch.device("cuda" if gpus else "cpu")), 2),
    }


def _kernels() -> str | None:
    """Why CPUs do without compiled kernels; None where they have them."""
    from convatlas.data import pixel_kernels, resize
    from convatlas.inference.engines import input_bytes, pooling
    from convatlas.modules import norm

    found = [
        norm.kernels(),
        pixel_kernels.kernels(),
        resize.kernels(),
        pooling.kernels(),
        input_bytes.kernels(),
    ]
    problem = next((one.problem for one in found if one.problem), None)
    return problem or (
        None if all(one.threaded for one in found) else "torch's threads cannot be shared here"
    )


def _look_at_torchvision(problems: list[str]) -> None:
    """A torchvision of another build breaks other people's code beside us; we do without it."""
    if machine.version_of("torchvision") is None:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torchvision  # noqa: F401
    except Exception as error:  # noqa: BLE001 (as above)
        problems.append(
            f"torchvision {machine.version_of('torchvision')} does not load beside this torch ({error}): it was built "
            "for another one. ConvAtlas does not need it; other programs here may"
        )


def _bf16_speed(device: torch.device) -> float:
    """How many times as fast as float32 a 3x3 convolution is in bfloat16: a claim of the processor, put to the test."""
    import time

    import torch

    def seconds(dtype: torch.dtype) -> float:
        weight = torch.ones(128, 128, 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        images = torch.ones(8, 128, 28, 28, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        times = []
        for _ in range(12):
            if device.type == "cuda":
                torch.cuda.synchronize()
            begin = time.perf_counter()
            torch.nn.functional.conv2d(images, weight, padding=1)
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begin)
        return sorted(times[2:])[4]

    with torch.inference_mode():
        return seconds(torch.float32) / seconds(torch.bfloat16)


def _lines(found: dict[str, object]) -> list[str]:
    """The findings as text."""
    here, device = found["machine"], found["torch"]
    assert isinstance(here, dict)
    rows = [
        ("convatlas", f"{found['convatlas']}, Python {found['python']}, {here['system']}"),
        ("processor", f"{here['processor']}, {here['cores']} cores for this process"),
        ("instructions", ", ".join(here["instructions"]) or "not told by this system"),
        ("memory", f"{_gib(here['memory_bytes'])}, {_gib(here['free_bytes'])} free"),
    ]
    if isinstance(device, dict):
        rows.append(("torch", f"{device['version']}, {device['threads']} threads"))
        rows.append(("device", ", ".join(device["gpus"]) or str(device["device"])))
        speed = device["bf16_speed"]
        verdict = "use it: --precision bf16" if speed > 1.1 else "no gain here: --precision float32"
        rows.append(
            ("bf16", f"{speed:.1f} times the speed of float32 (a 3x3 convolution, just measured); {verdict}")
        )
        why = device["kernels"]
        rows.append(("kernels", "compiled for this processor" if why is None else f"torch's own: {why}"))
        if device["gpus"]:
            why = device["gpu_kernels"]
            rows.append(("GPU kernels", "Triton's" if why is None else f"torch's own: {why}"))
    else:
        rows.append(("torch", "not there: definitions, numbers, pictures and source work without it"))
    cache = found["cache"]
    assert isinstance(cache, dict)
    rows.append(("cache", f"{cache['path']}, {_gib(cache['free_bytes'])} free on that disk"))
    lines = [f"{name:<13}{text}" for name, text in rows]
    missing, problems = found["missing"], found["problems"]
    assert isinstance(missing, list)
    assert isinstance(problems, list)
    if missing:
        lines += ["", "not installed, and what it would bring:"]
        width = max(len(entry["install"]) for entry in missing)
        lines += [
            f"  {entry['install']:<{width}}  {entry['purpose']} ({', '.join(entry['packages'])})"
            for entry in missing
        ]
    if problems:
        lines += ["", "problems:", *(f"  {problem}" for problem in problems)]
    if not missing and not problems:
        lines += ["", "nothing is missing"]
    return lines


def _gib(count: int | None) -> str:
    return "not told" if count is None else f"{count / 2**30:.1f} GiB"
