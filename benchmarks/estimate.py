"""Estimates of time and memory beside what this machine does.

    python benchmarks/estimate.py [NAME...]

Forward passes and training steps in eager torch, float32; the best of a few, as the estimate means an idle machine.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch

import convatlas as ca
from convatlas.analysis.estimate import estimate
from convatlas.cli.estimate import device

NETWORKS = (
    ("lenet5", 256),
    ("resnet20", 128),
    ("alexnet", 16),
    ("resnet18", 8),
    ("vgg11", 4),
    ("mobilenet_v1", 8),
    ("densenet121", 4),
)


def best(call: Callable[[], object], times: int = 4) -> float:
    """Seconds of the fastest call, after one to warm up."""
    found = []
    for _ in range(times + 1):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found[1:])


def main(names: list[str]) -> None:
    """Print a line a network."""
    rates = device("cpu")
    print(f"{rates.name}, torch {torch.__version__}; {rates.source}")
    print(
        f"{'':<14}{'batch':>6}{'training':>12}{'estimate':>12}{'ratio':>7}{'inference':>12}{'estimate':>12}{'ratio':>7}   images/s"
    )
    for name, batch in NETWORKS:
        if names and name not in names:
            continue
        network = ca.network(name)
        model = ca.create_model(network)
        x, labels = torch.rand(batch, *network.input), torch.randint(0, network.classes, (batch,))
        optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)

        def step(
            model: torch.nn.Module = model,
            x: torch.Tensor = x,
            labels: torch.Tensor = labels,
            optimizer: torch.optim.SGD = optimizer,
        ) -> None:
            torch.nn.functional.cross_entropy(model(x), labels).backward()
            optimizer.step()
            optimizer.zero_grad()

        trained = best(step)
        model.eval()
        with torch.inference_mode():
            inferred = best(lambda model=model, x=x: model(x))  # type: ignore[misc]
        found = estimate(network, rates, batch=batch)
        parts = ((trained, found.training_time.seconds), (inferred, found.inference_time.seconds))
        cells = "".join(
            f"{batch / real:>12.1f}{batch / told:>12.1f}{real / told:>7.2f}" for real, told in parts
        )
        print(f"{name:<14}{batch:>6}{cells}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
