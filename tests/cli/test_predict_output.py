"""What `convatlas predict` prints: lines for programs, columns for eyes."""

from __future__ import annotations

import io
import sys

import pytest

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
