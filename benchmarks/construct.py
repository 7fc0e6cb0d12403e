"""Issue 6: a model built only to receive weights skips initialization. Ours against torchvision's, alternating.

python benchmarks/construct.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

from convatlas.define import Network
from convatlas.inference.benchmark.models import IN_TORCHVISION, make
from convatlas.modules import build
from convatlas.networks import catalogue

NAMES = ("vgg16", "resnet50_v1_5", "densenet121", "inception_v3", "mobilenet_v2", "squeezenet1_1")


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=list(NAMES))
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    print(
        f"{'network':16} {'torchvision ms':>22} {'ours ms':>22} {'ratio':>7}   median [least - most] of {args.rounds}"
    )
    for name in args.names:
        network: Network = catalogue.network(name)
        theirs, ours = [], []
        make("torchvision", name), build(network, init=False)  # imports, the first elaboration
        for _ in range(args.rounds):
            theirs.append(milliseconds(lambda name=name: make("torchvision", name)))
            ours.append(milliseconds(lambda network=network: build(network, init=False)))
        texts = [f"{statistics.median(v):.1f} [{min(v):.1f} - {max(v):.1f}]" for v in (theirs, ours)]
        ratio = statistics.median(theirs) / statistics.median(ours)
        print(f"{IN_TORCHVISION.get(name, name):16} {texts[0]:>22} {texts[1]:>22} {ratio:7.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
