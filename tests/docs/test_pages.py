"""What the documentation shows is what there is: commands parse, links lead somewhere, Python compiles."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

import convatlas as ca
from convatlas.cli import frame

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs/how-to").glob("*.md"),
    *(ROOT / "docs/decisions").glob("*.md"),
]
GENERATED = {"networks/index.md", "claims.md"}


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            match = re.match(r" +(?:\$ )?(?:CONVATLAS_\w+=\S+ )?convatlas (\S.*)$", line)
            if match:
                found.append((page.name, match[1]))
            found += [
                (page.name, text)
                for text in re.findall(r"`convatlas ([a-z]+ [^`]+)`", line)
                if "VERB" not in text
            ]
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_that_a_page_shows_is_valid(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] in {"VERB", "命令"}:
        return
    assert words[0] in frame.COMMANDS
    if not {"NAME", "NETWORK"} & set(words):
        frame.parser_of(words[0]).parse_args(words[1:])
        for name in words[1:2]:
            if re.fullmatch(r"[a-z]+\d*(_[a-z0-9]+)*", name) and words[0] in {
                "show",
                "draw",
                "train",
                "import",
            }:
                assert name in ca.names()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)\)", page.read_text(encoding="utf-8")):
        if "://" not in target and target not in GENERATED:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_a_page_compiles_and_names_what_there_is(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        tree = ast.parse(_closed(block))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ca":
                assert node.attr in ca.__all__


def _closed(block: str) -> str:
    """A block may end in a row of a table, as it stands inside a call."""
    return re.sub(r"^(\w+)=(.*),$", r"\1=\2", block, flags=re.MULTILINE)


def shown_outputs() -> list[tuple[str, str, list[str]]]:
    """(page, command, lines shown below it); `...` stands for lines left out."""
    found = []
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if line.startswith("    $ convatlas "):
                output = []
                for below in lines[number + 1 :]:
                    if not below.startswith("    ") or below.startswith("    $ "):
                        break
                    output.append(below[4:])
                if output:
                    found.append((page.name, line.removeprefix("    $ convatlas "), output))
    return found


@pytest.mark.parametrize(("page", "line", "output"), shown_outputs())
def test_an_output_that_a_page_shows_is_what_the_command_prints(
    page: str, line: str, output: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert frame.main(shlex.split(line)) == 0
    printed = iter(capsys.readouterr().out.splitlines())
    for shown in output:
        if shown != "...":
            assert shown in printed, f"{page} shows a line that `convatlas {line}` does not print: {shown}"
