"""Issue 6's accuracy: how often each engine and precision answers as float32 eager does, with published weights.

    python benchmarks/agreement.py squeezenet1_1 WEIGHTS --photos imagenet-sample ants-bees/val --own imagenette/train

What `optimize` would do with the user's `--own` photos is done: half of them calibrate, the other half decide whether
a plan is refined. The photos of the table are others, which no decision has seen.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from convatlas.data import load
from convatlas.inference.candidates import base_plans
from convatlas.inference.checking import Bounds, answers, judge
from convatlas.inference.engines import ENGINES
from convatlas.inference.graph.leads import expected_changes
from convatlas.inference.images import evidence
from convatlas.inference.optimize import CHECKED
from convatlas.inference.search import Search
from convatlas.inference.tiles import Tiled
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
    parser.add_argument("--photos", type=Path, required=True, nargs="+")
    parser.add_argument("--own", type=Path, required=True)
    parser.add_argument("--most", type=int, default=250)
    parser.add_argument("--checked", type=int, default=CHECKED)
    parser.add_argument("--engines", default="folded,onednn,onnxruntime,openvino")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precisions", default="float32,bf16,int8")
    args = parser.parse_args()
    classifier = open_classifier(args.network, args.weights)
    device = torch.device(args.device)
    classifier.model.to(device)
    own = photos(args.own, classifier, 2 * args.checked).to(device)
    sets = {folder: photos(folder, classifier, args.most).to(device) for folder in args.photos}
    search = Search(classifier.model, own[:10], mode="latency")
    search.begin(evidence(own, own[:10], args.checked))
    expected = {folder: answers(search.model, images, 10) for folder, images in sets.items()}
    print(f"{classifier.name}: {len(own)} photos of {args.own.name} to calibrate and decide", flush=True)
    anything = Bounds(0.0, 1.0)
    for name in args.engines.split(","):
        engine = ENGINES[name]
        if engine.missing():
            print(f"{name}: {engine.missing()}")
            continue
        for plan in base_plans(engine, args.precisions.split(","), device, torch.get_num_threads()):
            began, before = time.perf_counter(), len(search.report.rows)
            search.try_plan(engine, plan)
            seconds = time.perf_counter() - began
            tried = search.report.rows[before:]
            for row in (row for row in tried if row.verdict is not None):
                run = Tiled(engine.prepare(search.bench, row.plan), row.plan)
                told = row.verdict.expected
                line = f"{row.plan!s:50} {row.outcome or 'passes'}"
                line += "" if told is None else f"; told {told:.2%}"
                for folder, images in sets.items():
                    answer = answers(run, images, 10)
                    verdict = judge(expected[folder], answer, anything)
                    equal = round(verdict.agreement * len(images))
                    line += f"; {folder.parent.name}/{folder.name}: {equal} of {len(images)} ({verdict.agreement:.1%}), "
                    line += f"told {expected_changes(expected[folder], answer):.2%}, moved {verdict.difference:.2g}"
                print(line, flush=True)
            print(f"    {len(tried)} tried in {seconds:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
