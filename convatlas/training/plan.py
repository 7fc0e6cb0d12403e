"""How the arithmetic is done on this machine: measured on the first batch, not guessed, and written down.

The plan changes speed and rounding, not what is trained. It is stored with the run and taken from there at
resume: a measurement is noise, and a resumed run must do the same arithmetic as the one that it continues.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn

from convatlas.errors import MisuseError
from convatlas.training.fields import check_fields
from convatlas.training.recipe import PRECISIONS, Recipe


@dataclass(frozen=True)
class Plan:
    """precision: float32 or bf16 (float32 weights, bf16 arithmetic). replicas: threads that share a batch.

    threads: of a CPU, in each replica; 0 where another device computes. tuned: cuDNN times its kernels for each shape.

    fused: batch norm, the addition of shortcuts and ReLU in one kernel. graphs: forward and backward pass are one CUDA
    graph, one launch for all their kernels. compile: by torch.compile.
    """

    precision: str = "float32"
    channels_last: bool = False
    thin: bool = False
    replicas: int = 1
    compile: bool = False
    threads: int = 1
    graphs: bool = False
    fused: bool = False
    tuned: bool = False

    def describe(self) -> str:
        """A line for a person."""
        parts = [self.precision, "channels last" if self.channels_last else "channels first"]
        if self.thin:
            parts.append("thin convolutions as matrix products")
        if self.fused:
            parts.append("fused batch norm")
        if self.replicas > 1:
            parts.append(f"{self.replicas} replicas of one thread")
        elif self.threads:
            parts.append(f"{self.threads} thread{'s' if self.threads > 1 else ''}")
        if self.compile:
            parts.append("compiled")
        if self.graphs:
            parts.append("one CUDA graph")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, object]:
        """What JSON can carry."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> Plan:
        """The plan that a run recorded; unknown fields of a later version are left out. MisuseError on odd values."""
        check_fields(cls, fields, "plan")
        known = {f.name for f in dataclasses.fields(cls)}
        if fields.get("precision", "float32") not in PRECISIONS[1:]:
            raise MisuseError(
                f"plan: precision should be {' or '.join(PRECISIONS[1:])}, received {fields['precision']!r}"
            )
        for name, least in (("threads", 0), ("replicas", 1)):
            if not least <= fields.get(name, least) <= 1024:  # type: ignore[operator]
                raise MisuseError(f"plan: {name} should be {least} to 1024, received {fields[name]!r}")
        return cls(**{k: v for k, v in fields.items() if k in known})  # type: ignore[arg-type]


@cache
def cpu_flags() -> frozenset[str]:
    """What the processor says it can do, on Linux; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 has units of its own here; without them it is emulated and slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(cpu_flags() & {"amx_bf16", "avx512_bf16"}) or platform.machine() == "arm64"
    return False


def candidates(model: nn.Module, recipe: Recipe, device: torch.device, batch: int) -> list[Plan]:
    """The plans worth a measurement, the plain loop first: what is chosen is never slower than it."""
    from convatlas.modules.norm import kernels, norms
    from convatlas.modules.thin import thin_layers

    threads = torch.get_num_threads() if device.type == "cpu" else 1
    precisions = ["float32", "bf16"] if has_bf16(device) else ["float32"]
    if recipe.precision != "auto":
        precisions = [recipe.precision]
    layouts = {"auto": [False, True], "on": [True], "off": [False]}[recipe.channels_last]
    compiled = {"auto": [False, True], "on": [True], "off": [False]}[recipe.compile]
    if device.type != "cpu" and recipe.replicas > 1:
        raise MisuseError(
            f"replicas={recipe.replicas}: they share the cores of a CPU, and {device} computes; --replicas 1"
        )
    if device.type == "cuda":
        return _on_gpu(model, recipe, precisions, layouts, compiled)
    if device.type != "cpu":
        return [Plan(p, c, compile=k, threads=0) for p in precisions for c in layouts for k in compiled]
    plans = [Plan(precisions[0], layouts[0], compile=compiled[0], threads=threads)]
    if recipe.replicas > 1:
        _check_replicas(model, recipe)
        plans = [dataclasses.replace(plans[0], replicas=recipe.replicas, threads=1)]
    splits = [1] if recipe.deterministic and draws(model) else _splits(recipe, threads, batch)
    convolutions = sum(isinstance(m, nn.Conv2d) for m in model.modules())
    # a thin first layer alone, as every photo network has, decides nothing
    thin = [False, True] if 0 < convolutions <= 2 * len(thin_layers(model)) else [False]
    fusable = bool(norms(model)) and layouts[-1]
    # with units for bf16 the other float32 plans only take the measurement's time
    for precision in precisions[-1:]:
        for split in splits:
            for slim in thin:
                # thin kernels choose their own layout: one of the two says it all
                for layout in layouts[-1:] if slim or precision == "bf16" else layouts:
                    own = 1 if split > 1 else threads
                    joins = fusable and layout and not compiled[0] and kernels().serves(own)
                    plans += [
                        Plan(precision, layout, slim, split, compiled[0], own, fused=joined)
                        for joined in ([False, True] if joins else [False])
                    ]
            if compiled == [False, True]:
                plans.append(Plan(precision, layouts[-1], False, split, True, 1 if split > 1 else threads))
    return list(dict.fromkeys(plans))


def _on_gpu(
    model: nn.Module, recipe: Recipe, precisions: list[str], layouts: list[bool], compiled: list[bool]
) -> list[Plan]:
    """The plain loop, then the fastest arithmetic with and without each of what may pay: graphs, fused kernels, compiling."""
    from convatlas.modules.norm import gpu_kernels, norms

    plans = [Plan(precisions[0], layouts[0], compile=compiled[0], threads=0)]
    fusable = bool(norms(model)) and layouts[-1] and gpu_kernels() is not None
    for graphs in [False, True] if recordable(model, recipe) else [False]:
        if not compiled[0]:
            ways = [False, True] if fusable else [False]
            plans += [
                Plan(precisions[-1], layouts[-1], threads=0, graphs=graphs, fused=joined) for joined in ways
            ]
        if compiled[-1]:
            plans.append(Plan(precisions[-1], layouts[-1], compile=True, threads=0, graphs=graphs))
    return list(dict.fromkeys(plans))


def fixed(model: nn.Module, recipe: Recipe, device: torch.device, batch: int) -> Plan:
    """The plan of a deterministic run: by what the machine is, never by a clock, so that equal machines agree.

    bf16, thin and fused kernels where there are units and a compiler for them, CUDA graphs on a GPU, replicas of one thread
    where the batch allows (threads that wait for each other lose most on a shared machine), nothing compiled by torch
    unless asked; otherwise the plain loop.
    """
    plans = [p for p in candidates(model, recipe, device, batch) if not p.compile or recipe.compile == "on"]
    fast = [p for p in plans if p.precision == "bf16"]
    return (
        max(fast, key=lambda p: (p.thin, p.fused, p.graphs, p.channels_last, p.replicas))
        if fast
        else plans[0]
    )


def _check_replicas(model: nn.Module, recipe: Recipe) -> None:
    """Replicas that were asked for are had, or it is said why not."""
    asked, part = recipe.replicas, recipe.batch // recipe.accumulate
    if recipe.deterministic and draws(model):
        raise MisuseError(
            f"replicas={asked}, deterministic: this network draws random numbers (dropout, dropped blocks), which threads "
            "take in any order; --replicas 1, or without --deterministic"
        )
    if part < asked:
        raise MisuseError(f"replicas={asked} of a batch of {part}: each needs a picture; --replicas {part}")


def _splits(recipe: Recipe, threads: int, batch: int) -> list[int]:
    if recipe.replicas:
        return [recipe.replicas]
    if _several():  # each is one already
        return [1]
    part = batch // recipe.accumulate
    # batch norm sees a replica's part alone, as under DistributedDataParallel: at least 32 pictures
    return [1, threads] if threads > 1 and part % threads == 0 and part // threads >= 32 else [1]


def recordable(model: nn.Module, recipe: Recipe) -> bool:
    """Whether a step can be one CUDA graph.

    Not where Python draws which blocks to drop (a graph would drop the same ones for ever), where a batch comes in
    several parts (their gradients add up), nor where workers talk to each other on the way.
    """
    return recipe.accumulate == 1 and not _several() and not drops(model)


def drops(model: nn.Module) -> bool:
    """Whether a step may leave out a block (stochastic depth)."""
    return any(getattr(m, "survival", 1.0) < 1.0 for m in model.modules())


def draws(model: nn.Module) -> bool:
    """Whether the forward pass draws random numbers, which threads would take in any order."""
    from torch.nn.modules.dropout import _DropoutNd

    return drops(model) or any(isinstance(m, _DropoutNd) and m.p > 0 for m in model.modules())


def _several() -> bool:
    """Whether this is one of several workers."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()
