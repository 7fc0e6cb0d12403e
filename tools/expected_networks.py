"""Make tests/expected/networks.json from the reference table: `python tools/expected_networks.py networks.yaml`.

The reference was counted from definitions of its own and against torchvision, timm, Keras and pytorchcv; none of
its figures comes from this package. Only what the tests compare is kept: one compact line a network.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

TARGET = Path(__file__).resolve().parents[1] / "tests/expected/networks.json"
# The reference says these in a sentence with more than one number; here is the one that our rule of depth means:
# layers with weights on the longest path, subsampling counted, a separable convolution as one, classifier included.
# DenseNet-264's blocks of 6, 12, 64 and 48 make 265 layers: its printed name is one short of its printed table.
DEPTHS = {"lenet5_1998": 7, "inception_v3": 48, "xception": 37, "densenet264": 265}


def numbers(text: object) -> list[int]:
    """[64, 112, 112] of "64x112x112"."""
    return [int(n) for n in str(text).split("x")]


def accuracies(entry: dict[str, Any]) -> list[list[Any]]:
    """[kind, top-1, top-5] of each result in one line of the reference; some lines hold one a dataset."""
    if "errors_pct" in entry:
        return [[entry["kind"], error, None] for error in entry["errors_pct"] if error is not None]
    return [[entry["kind"], entry.get("top1_pct"), entry.get("top5_pct")]]


def expected(entry: dict[str, Any], papers: dict[str, Any]) -> dict[str, Any]:
    """What the tests compare, of one entry of the reference."""
    leading = re.match(r"\d+", str(entry["depth_paper"]))
    kept = {
        "input": numbers(entry["input"]),
        "classes": entry["classes"],
        "parameters": entry["params_trainable"],
        "mult_adds": entry["macs"],
        "statistics": entry["bn_moving_stats"] + entry.get("params_fixed_not_trained", 0),
        "depth": DEPTHS.get(entry["id"], int(leading[0]) if leading else None),
        "stages": {name: numbers(shape) for name, shape in entry.get("stages_CxHxW", {}).items()},
        "aux_parameters": entry.get("params_aux_both", entry.get("params_aux"))
        or [entry[key] for key in ("params_aux1", "params_aux2") if key in entry],
        "connections": entry.get("connections"),
        "connections_by_layer": entry.get("connections_by_layer"),
        "parameters_by_layer": entry.get("params_by_layer"),
        "table": entry.get("c3_input_maps"),
        "accuracies": [figures for a in entry["accuracy"] for figures in accuracies(a)],
        "gotchas": len(entry["gotchas"]),
        "paper": [papers[entry["paper"]][key] for key in ("title", "authors", "year", "venue", "arxiv")],
        "claims": sorted(set(entry.get("paper_claims", {})) - {"reproduced", "source_checked"}),
    }
    return {key: value for key, value in kept.items() if value not in (None, [], {})}


def main(path: str) -> None:
    """Write the table."""
    reference = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    entries = {entry["id"]: expected(entry, reference["papers"]) for entry in reference["networks"]}
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
