"""Issue 6's accuracy: how often each engine and precision answers as float32 eager does, with published weights.

    python benchmarks/agreement.py squeezenet1_1 WEIGHTS --photos imagenet-sample --calibration imagenette

Photos are read to the network's own preprocessing; int8 is calibrated on other photos than it is compared on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from convatlas.data import load
from convatlas.inference.candidates import base_plans
from convatlas.inference.checking import Bounds
from convatlas.inference.engines import ENGINES
from convatlas.inference.images import Evidence
from convatlas.inference.search import Search
from convatlas.weights.classifier import Classifier, open_classifier


def photos(folder: Path, classifier: Classifier, most: int) -> torch.Tensor:
    files = sorted(folder.rglob("*.[jJ][pP]*[gG]"))
    files = files[:: max(1, len(files) // most)][:most]  # from every class, where folders are classes
    return torch.stack([load(f, classifier.preprocessing) for f in files])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--most", type=int, default=250)
    parser.add_argument("--engines", default="folded,onednn,winograd,onnxruntime,openvino")
    parser.add_argument("--calibrate", type=int, default=100)
    args = parser.parse_args()
    classifier = open_classifier(args.network, args.weights)
    check, calibration = (
        photos(args.photos, classifier, args.most),
        photos(args.calibration, classifier, args.calibrate),
    )
    anything = dict.fromkeys(("float32", "bf16", "int8"), Bounds(0.0, 1.0))
    search = Search(classifier.model, check[:10], mode="latency", bounds=anything)
    search.begin(Evidence(check, calibration, real=True))
    print(f"{classifier.name}: {len(check)} photos, int8 calibrated on {len(calibration)} others", flush=True)
    for name in args.engines.split(","):
        engine = ENGINES[name]
        if engine.missing():
            print(f"{name}: {engine.missing()}")
            continue
        for plan in base_plans(
            engine, ("float32", "bf16", "int8"), torch.device("cpu"), torch.get_num_threads()
        ):
            passed = search.attempt(plan)
            row = search.report.rows[-1]
            if not passed or row.verdict is None:
                print(f"{plan}: {row.outcome}")
                continue
            equal = round(row.verdict.agreement * len(check))
            print(
                f"{plan!s:34} top-1 equal on {equal} of {len(check)} ({row.verdict.agreement:.1%}), a probability moved by {row.verdict.difference:.2g} at most",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
