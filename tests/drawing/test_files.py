"""Figures as files: SVG always; PNG and PDF where their converter is; errors that say what to do."""

from __future__ import annotations

import builtins
import re
import struct
from pathlib import Path

import pytest

from convatlas.cli import main
from convatlas.drawing import files
from convatlas.drawing.figure import draw, figure
from convatlas.errors import ConvAtlasError, MissingExtra, MisuseError
from convatlas.networks import catalogue


@pytest.fixture
def png() -> None:
    """What a PNG needs beside the package: a font, which a bare machine lacks (.ci/run installs one)."""
    pytest.importorskip("resvg_py", reason="pip install 'convatlas[png]'")
    try:
        files._check_fonts("<svg></svg>")
    except ConvAtlasError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("png")
def test_a_png_has_its_text(tmp_path: Path) -> None:
    """The figure with its text and without differ in many pixels, whichever fonts a system has."""
    image = pytest.importorskip("PIL.Image")
    svg = figure(catalogue.network("lenet5"), theme="light")
    without = re.sub(r"(<text[^>]*>)[^<]*", r"\1", svg)
    with (
        image.open(files.write(svg, tmp_path / "a.png")) as one,
        image.open(files.write(without, tmp_path / "b.png")) as two,
    ):
        pairs = zip(one.convert("L").tobytes(), two.convert("L").tobytes(), strict=True)
        assert sum(a != b for a, b in pairs) > 1000


def test_draw_writes_an_svg_and_returns_its_path(tmp_path: Path) -> None:
    network = catalogue.network("lenet5")
    path = draw(network, tmp_path / "l.SVG")
    assert path.read_text(encoding="utf-8") == figure(network)
    assert [p.name for p in tmp_path.iterdir()] == ["l.SVG"]


@pytest.mark.usefixtures("png")
def test_png_has_the_figures_size_times_the_scale(tmp_path: Path) -> None:
    svg = figure(catalogue.network("lenet5"), theme="light")
    width, height = (float(value) for value in files._SIZE.search(svg).groups())  # type: ignore[union-attr]
    data = files.write(svg, tmp_path / "l.png", scale=2).read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">II", data[16:24]) == (round(2 * width), round(2 * height))


@pytest.mark.usefixtures("png")
def test_dark_and_light_pngs_have_their_paper(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    network = catalogue.network("lenet5")
    for theme, paper in (("auto", (255, 255, 255)), ("light", (255, 255, 255)), ("dark", (0x14, 0x18, 0x1D))):
        path = draw(network, tmp_path / f"{theme}.png", theme=theme)  # type: ignore[arg-type]
        with image.open(path) as opened:
            assert opened.convert("RGB").getpixel((2, 2)) == paper


def test_pdf_is_vector_and_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("typst", reason="pip install 'convatlas[pdf]'")
    network = catalogue.network("lenet5")
    first = draw(network, tmp_path / "a.pdf").read_bytes()
    second = draw(network, tmp_path / "b.pdf").read_bytes()
    assert first.startswith(b"%PDF")
    assert b"/Font" in first
    assert first == second


@pytest.mark.parametrize("name", ["x.jpg", "x.svgz", "x", "x.svg.gz"])
def test_an_unknown_format_names_those_that_work_before_any_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(MisuseError, match=r"expected .*\.svg, \.png or \.pdf"):
        draw(catalogue.network("lenet5"), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "ending", "extra"), [("resvg_py", ".png", "png"), ("typst", ".pdf", "pdf")]
)
def test_a_missing_converter_says_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, ending: str, extra: str
) -> None:
    real = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name == module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=rf"pip install 'convatlas\[{extra}\]'"):
        draw(catalogue.network("lenet5"), tmp_path / f"x{ending}")
    assert not list(tmp_path.iterdir())


def test_a_machine_without_fonts_is_told_instead_of_losing_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("resvg_py", reason="pip install 'convatlas[png]'")
    monkeypatch.setattr(files, "_draws", lambda letter, _family: letter == "a")
    files.to_png("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><text>a</text></svg>")
    with pytest.raises(ConvAtlasError, match=r"no font with Chinese characters.*fonts-noto-cjk"):
        files.to_png("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><text>卷积</text></svg>")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="there is no folder"):
        draw(catalogue.network("lenet5"), tmp_path / "nowhere/x.svg")


def test_the_command_draws_and_talks_on_stderr_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "g.svg"
    assert main(["draw", "googlenet", "-o", str(path), "--horizontal", "--lang", "zh"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert str(path) in said.err
    assert "拼接" in path.read_text(encoding="utf-8")


def test_the_command_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "l.svg"
    assert main(["draw", "lenet5", "-o", str(path), "--json"]) == 0
    assert f'"bytes": {path.stat().st_size}' in capsys.readouterr().out


def test_a_changed_network_says_so_and_drops_the_accuracy_of_the_paper(tmp_path: Path) -> None:
    path = tmp_path / "m.svg"
    assert main(["draw", "mobilenet_v1", "-o", str(path), "--width", "0.5", "--classes", "10"]) == 0
    text = path.read_text(encoding="utf-8")
    assert "width × 0.5, 10 classes" in text
    assert "top-1" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["draw", "lenet5", "-o", "x.jpg"], "x.svg, .png or .pdf"),
        (["draw", "lenet5"], "-o"),
        (["draw", "shufflenet_v1_g3", "-o", "x.svg", "--width", "0.1"], "divided"),
        (["draw", "alexnet", "-o", "x.svg", "--input", "3x16x16"], "conv"),
        (["draw", "resnet50", "-o", "x.svg", "--row", "conv9"], "nearest: "),
        (["draw", "resnet5000", "-o", "x.svg"], "nearest: "),
        (["draw", "lenet5", "-o", "x.svg", "--depth", "0"], "1 or more"),
    ],
)
def test_misuse_exits_2_with_what_would_work(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())
