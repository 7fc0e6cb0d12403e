"""`convatlas explain` on real weights, photos and a run; what it makes of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convatlas.cli import main

SQUEEZENET = "weights/squeezenet1_1-caffe-fp16-bgr.pth"
TOUCAN = "photos/imagenet-sample/n01843383_toucan.JPEG"


def test_a_real_photo_and_a_broken_one(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    broken = tmp_path / "broken.jpg"
    broken.write_text("not a picture")
    out = tmp_path / "out"
    code = main(
        [
            "explain",
            "squeezenet1_1",
            str(broken),
            "--weights",
            str(shared_data / SQUEEZENET),
            str(shared_data / TOUCAN),
            "-o",
            str(out),
            "--method",
            "filters,saliency,grad-cam",
            "--device",
            "cpu",
            "--json",
        ]
    )
    told = json.loads(capsys.readouterr().out)
    assert code == 1  # one photo could not be read
    assert [s["path"] for s in told["skipped"]] == [str(broken)]
    (photo,) = told["photos"]
    assert photo["predictions"][0]["label"] == "toucan"
    assert photo["methods"]["grad-cam"]["row"] == "relu10"
    assert photo["methods"]["filters"]["filters"] == 64
    for method in photo["methods"].values():
        assert Path(method["file"]).read_text().startswith("<svg")
    page = Path(told["page"]).read_text()
    assert (
        "Grad-CAM" in page and "Selvaraju" in page and "http://" not in page.replace("http://www.w3.org", "")
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--row", "fire99"], "nearest: .*fire9"),
        (["--row", "avgpool"], "no map to show"),
        (["--row", "fire2", "--unit", "128"], "channels 0 to 127"),
        (["--unit", "3"], "of which row"),
        (["--class", "tuocan"], "toucan"),
        (["--method", "magic"], "grad-cam"),
    ],
)
def test_what_cannot_be_asked(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
):
    import re

    start = [
        "explain",
        "squeezenet1_1",
        "--weights",
        str(shared_data / SQUEEZENET),
        str(shared_data / TOUCAN),
    ]
    assert main([*start, "-o", str(tmp_path / "out"), *options]) == 2
    captured = capsys.readouterr()
    assert re.search(words, captured.err.splitlines()[-1]), captured.err
    assert not captured.out and not (tmp_path / "out").exists()


def test_a_method_that_needs_a_photo_says_so(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    start = [
        "explain",
        "squeezenet1_1",
        "--weights",
        str(shared_data / SQUEEZENET),
        "-o",
        str(tmp_path / "out"),
    ]
    assert main([*start, "--method", "occlusion"]) == 2
    assert "filters, maximize" in capsys.readouterr().err
    assert main([*start, "--method", "filters"]) == 0
    assert (tmp_path / "out/filters.svg").exists()
