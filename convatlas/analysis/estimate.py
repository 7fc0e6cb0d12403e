"""Memory and time that a network will take, told from its definition and a device's rates; nothing is run.

Time is a roofline, operation by operation: the larger of its arithmetic and its memory traffic, and what starting it
costs. Memory in training is simulated along the tape: what the forward pass kept, and the gradients as they come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from convatlas.analysis.devices import Rates
from convatlas.analysis.memory import activation_memory
from convatlas.analysis.tape import Tape, tape
from convatlas.define import Network, elaborate
from convatlas.errors import MisuseError

_LIMITS = ("arithmetic", "memory traffic", "launch")


@dataclass(frozen=True)
class Bytes:
    """Memory by what it holds. `activations`: kept or alive at the worst moment, with gradients of activations."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations


@dataclass(frozen=True)
class Time:
    """Seconds of one batch, and how much of them each limit is responsible for."""

    seconds: float
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def limit(self) -> str:
        """What most of the time is spent on."""
        return max(self.shares, key=lambda name: self.shares[name])


@dataclass(frozen=True)
class Estimate:
    """What one network takes on one device."""

    network: str
    device: str
    batch: int
    precision: str
    training: Bytes
    inference: Bytes
    training_time: Time
    inference_time: Time
    largest_training_batch: int | None
    largest_inference_batch: int | None
    images: int | None = None
    epochs: int | None = None

    @property
    def epoch_seconds(self) -> float | None:
        """Seconds of one pass over the images."""
        return None if self.images is None else self.images / self.batch * self.training_time.seconds

    def to_dict(self) -> dict[str, Any]:
        """The estimate as the command line prints it in JSON."""
        return {
            "network": self.network,
            "device": self.device,
            "batch": self.batch,
            "precision": self.precision,
            **{
                name: {
                    "bytes": {
                        "weights": used.weights, "gradients": used.gradients, "optimizer": used.optimizer,
                        "activations": used.activations, "total": used.total,
                    },
                    "seconds_per_batch": time.seconds,
                    "images_per_second": self.batch / time.seconds,
                    "limit": time.limit,
                    "shares": time.shares,
                    "largest_batch": largest,
                }
                for name, used, time, largest in (
                    ("training", self.training, self.training_time, self.largest_training_batch),
                    ("inference", self.inference, self.inference_time, self.largest_inference_batch),
                )
            },
            "images": self.images,
            "epochs": self.epochs,
            "epoch_seconds": self.epoch_seconds,
            "training_seconds": None if self.epoch_seconds is None else self.epoch_seconds * (self.epochs or 1),
        }  # fmt: skip


def estimate(
    network: Network,
    rates: Rates,
    *,
    batch: int = 32,
    precision: str = "float32",
    images: int | None = None,
    epochs: int | None = None,
    momentum: bool = True,
) -> Estimate:
    """Tell memory and time of `network` on a device; MisuseError where it has no arithmetic of that precision.

    precision: float32, or bf16, where weights, gradients and the optimizer stay in float32 in training. momentum: SGD
    with one value a parameter beside it.
    """
    if precision not in rates.mult_adds:
        raise MisuseError(f"{rates.name} has no rate for {precision}; it has: {', '.join(rates.mult_adds)}")
    placed = elaborate(network)
    main, whole = tape(placed, aux=False), tape(placed)
    value = 2 if precision == "bf16" else 4
    parameters = placed.parameters
    trained = parameters + sum(head.parameters for _, head in placed.aux)
    peak = activation_memory(placed, bytes_per_value=value).peak_bytes
    statistics = 4 * placed.body.statistics

    def training(n: int) -> Bytes:
        gradients, activations = training_peak(whole, n, value)
        # autocast keeps a half-sized copy of each weight for the backward pass
        copies = 2 * trained if precision == "bf16" else 0
        return Bytes(4 * trained + statistics + copies, gradients, 4 * trained * momentum, activations)

    def inference(n: int) -> Bytes:
        return Bytes(value * parameters + statistics, 0, 0, n * peak)

    return Estimate(
        network=network.name,
        device=rates.name,
        batch=batch,
        precision=precision,
        training=training(batch),
        inference=inference(batch),
        training_time=_time(whole, rates, batch, precision, value, trained, training=True),
        inference_time=_time(main, rates, batch, precision, value, parameters, training=False),
        largest_training_batch=_largest(lambda n: training(n).total, rates.memory_bytes),
        largest_inference_batch=_largest(lambda n: inference(n).total, rates.memory_bytes),
        images=images,
        epochs=epochs,
    )


def training_peak(found: Tape, batch: int, value: int = 4) -> tuple[int, int]:
    """(bytes of weight gradients, bytes of activations and their gradients) at the worst moment of the backward pass.

    Going back, what was kept is freed step by step while the gradients of weights gather.
    """
    first = {}
    for place, step in reversed(list(enumerate(found.steps))):
        for buffer in step.saved:
            first[buffer] = place  # freed once the backward pass has gone by its earliest user
    kept = batch * sum(value * found.buffers[b] for b in first) + batch * found.saved_extra_bytes()
    worst, gradients = (0, 0), 0
    for place in range(len(found.steps) - 1, -1, -1):
        step = found.steps[place]
        gradients += 4 * step.parameters
        alive = kept + batch * value * (step.reads + step.writes)
        if gradients + alive > sum(worst):
            worst = gradients, alive
        kept -= batch * sum(value * found.buffers[b] for b in set(step.saved) if first[b] == place)
        kept -= batch * step.extra_bytes
    return worst


def _time(
    found: Tape, rates: Rates, batch: int, precision: str, value: int, parameters: int, *, training: bool
) -> Time:
    """Roofline of every step; the backward pass does a convolution twice, for its input and for its weights."""
    spent = dict.fromkeys(_LIMITS, 0.0)
    arithmetic, traffic = (
        rates.mult_adds[precision] * rates.attained[0],
        rates.bytes_per_second * rates.attained[1],
    )
    for step in found.steps:
        moved = value * (batch * (step.reads + step.writes) * step.passes + step.parameters)
        times = 3 if training else 1
        by = (batch * step.mult_adds / arithmetic * times, moved / traffic * times)
        spent[_LIMITS[0] if by[0] > by[1] else _LIMITS[1]] += max(by)
        spent["launch"] += rates.launch_seconds * step.passes * (times if step.mult_adds else min(times, 2))
    if training:  # weights, gradients and momentum are read, weights and momentum written
        spent["memory traffic"] += 5 * 4 * parameters / traffic
    total = sum(spent.values())
    return Time(total, {name: seconds / total for name, seconds in spent.items()})


def _largest(total: Callable[[int], int], memory: int | None) -> int | None:
    """The largest batch whose memory fits in 90 % of the device's: the rest is its context and fragments."""
    if memory is None:
        return None
    room = int(0.9 * memory)
    if total(1) > room:
        return 0
    low, high = 1, 2
    while total(high) <= room:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if total(middle) <= room else (low, middle)
    return low
