"""What `convatlas predict` prints: lines for programs, columns for eyes."""

from __future__ import annotations

import io
import json
import os
import sys

import pytest

from convatlas.cli import main
from convatlas.cli import predict as command

pytest.importorskip("torch", reason="predictions are made by torch, which is not installed")

from convatlas.inference.predict import Guess, Prediction

FOUND = Prediction(
    "photos/holiday/2019/a very long name of a photo.jpg", (Guess("ant", 0, 0.9), Guess("bee", 1, 0.1))
)
LOST = Prediction("b.jpg", error="truncated")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(
    names: list[str], monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *, as_json: bool = False
) -> str:
    monkeypatch.setattr(sys, "stdout", stream)
    with command._printer(names, as_json=as_json) as show:
        for i in range(len(names)):
            show(LOST if i else FOUND)
    return stream.getvalue()


def test_a_pipe_gets_whole_paths_and_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed([FOUND.path, LOST.path], monkeypatch, io.StringIO())
    assert text == f"{FOUND.path}\tant 90.0%  bee 10.0%\nb.jpg\tcannot be read: truncated\n"


@pytest.mark.parametrize("count", [2, 50])
def test_a_terminal_gets_columns_and_many_pictures_a_bar(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = printed([FOUND.path] + [LOST.path] * (count - 1), monkeypatch, Terminal())
    rows = [line for line in text.splitlines() if "ant" in line and "90.0%" in line]
    assert rows and "…" in rows[0]
    assert rows[0].index("90.0%") < 45
    assert text.count("cannot be read: truncated") == count - 1
    assert ("predicting" in text) == (count == 50)


def test_json_stays_json_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed([LOST.path], monkeypatch, Terminal(), as_json=True)
    assert '"path"' in text and '"predictions"' in text


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_name_is_one_line_whatever_is_in_it(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]
) -> None:
    odd = Prediction("a\nb\t\x1b[31m\x9b\u2028.jpg", (Guess("an\nt", 0, 1.0),))
    monkeypatch.setattr(sys, "stdout", stream())
    with command._printer([odd.path], as_json=False) as show:
        show(odd)
        show(Prediction("b.jpg", error="no\nway"))
    lines = sys.stdout.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(r"a\nb\t\x1b[31m\x9b\u2028.jpg")
    assert r"an\nt" in lines[0]
    assert r"no\nway" in lines[1]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_name_that_is_no_utf8_goes_out_as_it_came_in(
    monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    name = os.fsdecode(b"zo\xeb.jpg")
    bytes_out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_out, encoding="utf-8", errors="strict"))

    def act(_: object) -> int:
        with command._printer([name], as_json=as_json) as show:
            show(Prediction(name, error="broken"))
        return 0

    monkeypatch.setattr(command, "run", act)
    assert main(["predict", "run", "picture"]) == 0
    text = bytes_out.getvalue()
    if as_json:
        assert json.loads(text.decode("utf-8"))["path"] == name
    else:
        assert text == b"zo\xeb.jpg\tcannot be read: broken\n"
