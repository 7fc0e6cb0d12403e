"""Random numbers that depend on what they are for, not on who draws them or when.

One sample's draws are a pure function of (seed, epoch, sample index) and a batch's of (seed, epoch, batch): the
number of workers, a resumed epoch and the order of threads change nothing.
"""

from __future__ import annotations

import torch

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def mix(*parts: int) -> int:
    """64 well-mixed bits of some integers (SplitMix64's finalizer, Steele, Lea & Flood 2014, over each)."""
    state = 0
    for part in parts:
        state = (state + (part & _MASK) + _GOLDEN) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


class Draws:
    """Uniform numbers of one sample, in order; cheap to make, which a Mersenne twister is not."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, epoch: int, index: int) -> None:
        self._state = mix(seed, epoch, index)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        self._state = (self._state + _GOLDEN) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return low + (high - low) * ((z ^ (z >> 31)) >> 11) * 2.0**-53

    def integer(self, high: int) -> int:
        """An integer in [0, high]."""
        return min(int(self.uniform() * (high + 1)), high)


def batch_generator(
    seed: int,
    epoch: int,
    batch: int,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> torch.Generator:
    """A generator on `device` for one batch; an existing one is set anew and returned."""
    generator = torch.Generator(device=device) if generator is None else generator
    # the CPU's Mersenne twister takes 32 bits of a seed, CUDA's Philox 64: mixed bits serve both
    return generator.manual_seed(mix(seed, epoch, batch, 1) & ((1 << 63) - 1))


def epoch_order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of an epoch's samples (count,), a pure function of (seed, epoch)."""
    generator = torch.Generator().manual_seed(mix(seed, epoch, 2) & ((1 << 63) - 1))
    return torch.randperm(count, generator=generator)
