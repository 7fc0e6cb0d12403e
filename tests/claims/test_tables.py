"""Published tables: every printed figure comes out, but for the departures that are explained."""

from __future__ import annotations

import json

import pytest

from convatlas import cli
from convatlas.claims.tables import TABLES, Table, quoted_accuracies, table


@pytest.mark.parametrize("found", TABLES, ids=lambda found: found.key)
def test_printed_and_computed_agree_or_the_departure_is_explained(found: Table) -> None:
    for title, _, cells in found.cells():
        for column, cell in zip(found.columns, cells, strict=True):
            explained = (title, column.title) in found.departures
            assert cell.agrees is not False or explained, (title, column.title, cell)
            assert not (cell.agrees and explained), "what agrees needs no explanation"
    titles = {title for title, *_ in found.rows}
    assert {title for title, _ in found.departures} <= titles
    assert {title for _, title in found.departures} <= {column.title for column in found.columns}


def test_quoted_accuracies_are_among_the_published_facts_but_for_alexnets() -> None:
    # the MobileNet paper quotes 57.2 for AlexNet; BVLC's readme has 57.1, and 57.258 as its best validation
    missing = [
        (title, value) for found in TABLES for title, value, known in quoted_accuracies(found) if not known
    ]
    assert missing == [("AlexNet", "57.2")]


def test_the_last_line_of_the_resnet_table_comes_out() -> None:
    last = [cells[-1] for _, _, cells in table("resnet").cells()]
    assert [cell.printed for cell in last] == ["1.8", "3.6", "3.8", "7.6", "11.3"]  # He et al. 2016, Table 1
    assert all(cell.agrees for cell in last)


def test_the_command_prints_both_values_and_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", "--table", "mobilenet-others"]) == 0
    out = capsys.readouterr().out
    assert "861.34 *" in out
    assert "floating-point operations, two a mult-add" in out
    assert cli.main(["compare", "--table", "shufflenet-groups", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["cells"]["stage 2"]["printed"] for row in rows] == ["144", "200", "240", "272", "384"]
    assert all(cell["agrees"] is not False for row in rows for cell in row["cells"].values())


@pytest.mark.parametrize("key", [found.key for found in TABLES])
@pytest.mark.parametrize("form", ["--csv", "--markdown"])
def test_a_table_in_csv_and_markdown_is_rectangular(
    key: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import csv
    import io

    assert cli.main(["compare", "--table", key, form]) == 0
    text = capsys.readouterr().out
    rows = (
        list(csv.reader(io.StringIO(text)))
        if form == "--csv"
        else [line.split("|") for line in text.splitlines()]
    )
    assert len({len(row) for row in rows}) == 1
    assert len(rows) == len(table(key).rows) + (1 if form == "--csv" else 2)
