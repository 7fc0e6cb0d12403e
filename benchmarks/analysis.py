"""How long the numbers of all networks take beside `import torch`, and those of one network beside torchinfo.

    python benchmarks/analysis.py [ROUNDS]

Catalogue: definitions, layer table and totals of every network in a fresh interpreter, alternating with one that
imports torch; the share is the median of each round's own ratio, so that what else the machine does falls on both.
Limit: below 1. One network: from its name to table and totals, in this process, imports left out, against
torchinfo.summary of a torch module that is already built, its table printed to a string. Limit: 100 times faster.
Torchinfo runs the network; with "on meta" it runs it without arithmetic, which its usual users do not do. All
interpreters find compiled bytecode, as pip leaves it when it installs a package.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version

LIMIT_SHARE = 1.0
LIMIT_TIMES = 100
NETWORKS = ("vgg16", "googlenet", "resnet50", "densenet121", "mobilenet_v2")
ALL = """
from convatlas.analysis import layers, totals
from convatlas.define import elaborate
from convatlas.networks import catalogue
rows = 0
for name in catalogue.names():
    elaborated = elaborate(catalogue.network(name))
    rows += len(layers(elaborated))
    totals(elaborated)
print(rows)
"""


def spread(times: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(times), 5),
        "min": round(min(times), 5),
        "max": round(max(times), 5),
    }


def fresh(code: str, environment: dict[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def whole_catalogue(rounds: int) -> dict[str, object]:
    cases = {"all networks": ALL, "import torch": "import torch"}
    found: dict[str, list[float]] = {name: [] for name in cases}
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = bytecode
        for code in cases.values():  # writes the bytecode, and reads the files into memory
            fresh(code, environment)
        for _ in range(rounds):
            for name, code in cases.items():
                found[name].append(fresh(code, environment))
    shares = [a / b for a, b in zip(found["all networks"], found["import torch"], strict=True)]
    return {"share": spread(shares), "seconds": {name: spread(times) for name, times in found.items()}}


def repeated(work: Callable[[], object], rounds: int) -> list[float]:
    work()  # what is loaded lazily is loaded now
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return times


def one_network(name: str, rounds: int) -> dict[str, object]:
    import torch
    import torchinfo

    from convatlas.analysis import layers, totals
    from convatlas.define import elaborate
    from convatlas.modules import build
    from convatlas.networks import catalogue

    def ours() -> None:
        elaborated = elaborate(catalogue.network(name))
        layers(elaborated)
        totals(elaborated)

    network = catalogue.network(name)
    module = build(network, init=False).eval()
    with torch.device("meta"):
        ghost = build(network, init=False).eval()
    size = (1, *network.input)

    def summary(model: torch.nn.Module, device: str) -> str:
        return str(torchinfo.summary(model, size, depth=9, verbose=0, device=device))

    found = {
        "convatlas": repeated(ours, 5 * rounds),
        "torchinfo": repeated(lambda: summary(module, "cpu"), rounds),
        "torchinfo on meta": repeated(lambda: summary(ghost, "meta"), rounds),
    }
    median = {tool: statistics.median(times) for tool, times in found.items()}
    return {
        "times_faster": round(median["torchinfo"] / median["convatlas"], 1),
        "times_faster_than_on_meta": round(median["torchinfo on meta"] / median["convatlas"], 1),
        "seconds": {tool: spread(times) for tool, times in found.items()},
    }


def main(rounds: int = 5) -> int:
    catalogue = whole_catalogue(rounds)
    networks = {name: one_network(name, rounds) for name in NETWORKS}
    share = catalogue["share"]["median"]  # type: ignore[index]
    result = {
        "python": platform.python_version(),
        "torch": version("torch"),
        "torchinfo": version("torchinfo"),
        "cores": os.cpu_count(),
        "rounds": rounds,
        "limits": {"share": LIMIT_SHARE, "times_faster": LIMIT_TIMES},
        "whole_catalogue": catalogue,
        "one_network": networks,
    }
    print(json.dumps(result, indent=2))
    met = share < LIMIT_SHARE and all(n["times_faster"] >= LIMIT_TIMES for n in networks.values())  # type: ignore[operator]
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
