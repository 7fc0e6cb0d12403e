"""How long `convatlas list` and `convatlas show resnet152` take, as a share of `import torch`.

    python benchmarks/cli_start.py [ROUNDS]

Fresh interpreters, alternating; a round is one of each. Medians and the range, in seconds; the share is the median
of each round's own ratio, so that what else the machine does falls on both. Limit: 0.15. All interpreters find
compiled bytecode, as pip leaves it when it installs a package; a checkout that was never run has none.
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
from importlib.metadata import version

LIMIT = 0.15
CASES = {
    "import torch": [sys.executable, "-c", "import torch"],
    "python -c pass": [sys.executable, "-c", "pass"],
    "convatlas list": [sys.executable, "-m", "convatlas", "list"],
    "convatlas show resnet152": [sys.executable, "-m", "convatlas", "show", "resnet152"],
}


def seconds(command: list[str], environment: dict[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def measure(rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = bytecode
        for command in CASES.values():  # writes the bytecode, and reads the files into memory
            seconds(command, environment)
        for _ in range(rounds):
            for name, command in CASES.items():
                found[name].append(seconds(command, environment))
    return found


def main(rounds: int = 7) -> int:
    found = measure(rounds)
    torch = found["import torch"]
    result = {
        name: {
            "median": round(statistics.median(times), 4),
            "min": round(min(times), 4),
            "max": round(max(times), 4),
            "share": round(statistics.median(t / base for t, base in zip(times, torch, strict=True)), 4),
        }
        for name, times in found.items()
    }
    met = all(result[name]["share"] <= LIMIT for name in CASES if name.startswith("convatlas"))
    print(
        json.dumps(
            {
                "python": platform.python_version(),
                "torch": version("torch"),
                "rounds": rounds,
                "limit": LIMIT,
                "met": met,
                "seconds": result,
            },
            indent=2,
        )
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
