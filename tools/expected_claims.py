"""Make tests/expected/claims.json from the reference ledger: `python tools/expected_claims.py claims.yaml`.

Kept are, document by document and in order, each claim's verdict and the numbers of a thousand and more that the
reference computed for it, with definitions of its own; none comes from this package.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import yaml

TARGET = Path(__file__).resolve().parents[1] / "tests/expected/claims.json"
KEYS = {
    "000": "cv-tricks",
    "001": "ten-architectures",
    "002": "classic-networks",
    "003": "lecture",
    "004": "lecture-notes",
}


def numbers(text: object) -> list[int]:
    """Whole numbers of a thousand and more, written with commas."""
    return [int(n.replace(",", "")) for n in re.findall(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?![\d.])", str(text))]


def main(path: str) -> None:
    """Write the table."""
    reference = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    found: dict[str, list[list[object]]] = {key: [] for key in KEYS.values()}
    for claim in reference["claims"]:
        found[KEYS[claim["document"][:3]]].append([claim["verdict"], numbers(claim["computed"])])
    lines = [
        f"{json.dumps(key)}: [\n" + ",\n".join(json.dumps(c) for c in claims) + "\n]"
        for key, claims in found.items()
    ]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
