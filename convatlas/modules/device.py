"""Where to compute: the device that a user names."""

from __future__ import annotations

import os

import torch

from convatlas.errors import MisuseError


def pick_device(name: str) -> torch.device:
    """The device of this name; auto: CUDA, MPS or CPU. MisuseError where it is not there."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise MisuseError(f"--device {name}: no such device; auto, cpu, cuda, cuda:1, mps") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MisuseError(
            f"--device {name}: no CUDA device is visible here (convatlas doctor says why); --device cpu works"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise MisuseError(f"--device {name}: this machine has no Metal device; --device cpu works")
    return device
