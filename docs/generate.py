"""Write the pages that follow from the catalogue: one a network, their index, and the ledger of claims.

    python docs/generate.py [NAME...]

Needs no torch. What it writes is not kept in the repository: it is made from what is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import claims_page

import convatlas as ca
from convatlas.analysis.table import totals
from convatlas.cli.show import accuracy, claim, when
from convatlas.define import elaborate
from convatlas.drawing.terminal import layer_table

HERE = Path(__file__).parent
PAGES = HERE / "networks"


def page(name: str) -> str:
    """The page of one network: what was published, what is computed, the figure, the table."""
    net = ca.network(name)
    facts, found = net.facts, totals(elaborate(net))
    paper = facts.paper
    arxiv = f", [arXiv {paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})" if paper.arxiv else ""
    parts = [
        f"# {facts.title}",
        f"*{paper.title}.* {paper.authors}. {when(paper)}{arxiv}.",
        facts.new,
        "| computed | |\n|---|---|\n"
        f"| name | `{name}` |\n"
        f"| input | {'×'.join(map(str, net.input))} |\n"
        f"| parameters | {found.parameters:,} ({found.bytes / 2**20:.1f} MiB in float32) |\n"
        + (f"| in auxiliary heads | {found.aux_parameters:,} |\n" if found.aux_parameters else "")
        + f"| mult-adds | {found.mult_adds:,} |\n"
        f"| depth | {found.depth} |\n"
        f"| activations at most at once, batch 1 | {found.peak_bytes / 2**20:.1f} MiB |",
    ]
    if facts.accuracies:
        parts.append("## Published accuracy\n\n" + "\n".join(f"- {accuracy(a)}" for a in facts.accuracies))
    if facts.claims:
        parts.append("## Claims of the paper\n\n" + "\n".join(f"- {claim(c)}" for c in facts.claims))
    if facts.deviations:
        parts.append("## Before you compare\n\n" + "\n".join(f"- {text}" for text in facts.deviations))
    parts += [
        f"## Figure\n\n![{facts.title}]({name}.svg)",
        f"## Layers\n\n```text\n{layer_table(elaborate(net))}\n```",
        f"`convatlas show {name}` prints this with receptive fields, `convatlas show {name} --code` the module.",
    ]
    return "\n\n".join(parts) + "\n"


def index() -> str:
    """All networks as one table."""
    lines = [
        "# The networks\n",
        "In order of publication. Parameters and mult-adds are computed from the definitions, for one image.\n",
        "| network | year | input | classes | parameters | mult-adds | depth |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for name in ca.names():
        line = ca.network(name).summary()
        lines.append(
            f"| [{line['title']}]({name}.md) | {line['year']} | {'×'.join(map(str, line['input']))} | "
            f"{line['classes']} | {line['parameters']:,} | {line['mult_adds']:,} | {line['depth']} |"
        )
    return "\n".join(lines) + "\n"


def main(names: list[str]) -> None:
    """Write the pages of `names`, or all, the index and the claims."""
    PAGES.mkdir(exist_ok=True)
    for name in names or ca.names():
        ca.network(name).draw(PAGES / f"{name}.svg")
        (PAGES / f"{name}.md").write_text(page(name), encoding="utf-8")
    (PAGES / "index.md").write_text(index(), encoding="utf-8")
    (HERE / "claims.md").write_text(claims_page.page(), encoding="utf-8")
    print(f"{len(names or ca.names())} pages in {PAGES}")


if __name__ == "__main__":
    main(sys.argv[1:])
