"""The benchmark: contenders alternate in processes of their own; what fails is a line, not the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch

from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.inference import ceiling as ceilings
from convatlas.inference.benchmark import show
from convatlas.inference.benchmark.measure import Line, Request, Result, measure
from convatlas.inference.benchmark.models import make, make_sane
from convatlas.inference.benchmark.processes import Process
from convatlas.inference.ceiling import Ceiling, ceiling
from convatlas.inference.energy import meter
from convatlas.inference.timing import MOST_A_TURN

CPU = torch.device("cpu")
TOP = Ceiling(float32=100e9, bf16=800e9, int8=None, copy=2e10, device="x", threads=2, measured=0.0)


@pytest.mark.slow
def test_contenders_are_timed_and_a_failing_one_says_why() -> None:
    request = Request(["lenet5"], ["eager", "torchvision"], [2], ["float32"], CPU, rounds=3, seconds=1.0)
    result = measure(request)
    lines = {line.contender: line for line in result.lines}
    assert lines["convatlas"].rounds == 3 == lines["eager"].rounds
    assert len(lines["eager"].seconds) == 3 * MOST_A_TURN  # LeNet-5 is short: several calls a turn
    assert lines["convatlas"].agreement == 1
    assert lines["convatlas"].peak_bytes > 50 << 20  # torch alone is more
    assert 0 < lines["eager"].share < 2
    assert "no 'lenet5'" in lines["torchvision"].problem or "torchvision" in lines["torchvision"].problem
    assert "synthetic" in " ".join(result.notes)
    assert "lenet5, batch 2, 3 rounds" in show.table(result)


def test_unknown_names_are_told_before_anything_runs() -> None:
    with pytest.raises(MisuseError, match="lenet6"):
        measure(Request(["lenet6"], [], [1], ["auto"], CPU))
    with pytest.raises(MisuseError, match="tensorrt"):
        measure(Request(["lenet5"], ["tensorrt"], [1], ["auto"], CPU))


def result() -> Result:
    fast = Line("lenet5", "convatlas", "auto", 4, seconds=(0.01, 0.02, 0.04, 0.05), agreement=1.0, share=0.25)
    broken = Line("lenet5", "openvino", "auto", 4, problem="openvino is not installed")
    return Result([fast, broken], TOP, ["energy not told"])


def test_the_table_shows_speed_spread_and_reasons() -> None:
    text = show.table(result())
    assert "266.7" in text  # 4 images in 15 ms, the median of the faster half
    assert "80 - 400" in text
    assert "openvino auto: openvino is not installed" in text
    assert "float32 100" in text


def test_json_and_picture_are_what_they_are() -> None:
    found = json.loads(json.dumps(show.as_dict(result()), allow_nan=False))
    assert found["lines"][0]["milliseconds"]["p99"] == 50
    assert found["lines"][1]["problem"]
    picture = show.picture(result())
    ET.fromstring(picture)
    assert "convatlas auto" in picture


def test_a_worker_that_fails_says_so_and_goes_on(tmp_path: Path) -> None:
    images = tmp_path / "images.pt"
    torch.save(torch.randn(4, 1, 32, 32), images)
    with Process() as process:
        assert (
            process.ask("model", library="convatlas", name="lenet5", images=str(images))["parameters"]
            == 61_706
        )
        with pytest.raises(ConvAtlasError, match="no int8"):
            process.ask("prepare", name="x", kind="eager", precision="int8", batch=1)
        process.ask("prepare", name="x", kind="eager", precision="float32", batch=1)
        assert len(process.ask("run", name="x", batch=1)["seconds"]) >= 1
        assert len(process.ask("answers", name="x", batch=3)["top1"]) == 3


def test_a_peer_that_is_asked_for_any_precision_runs_at_its_default(tmp_path: Path) -> None:
    images = tmp_path / "images.pt"
    torch.save(torch.randn(4, 1, 32, 32), images)
    with Process() as process:
        process.ask("model", library="convatlas", name="lenet5", images=str(images))
        answer = process.ask("prepare", name="x", kind="eager", precision="auto", batch=2)
        assert answer["ran_precision"] == "float32"
        assert "its default" in answer["ran"]
        assert process.ask("run", name="x", batch=2)["calls"] >= 1


def test_a_worker_that_is_killed_is_an_error_that_says_so(tmp_path: Path) -> None:
    with Process() as process:
        process._process.kill()
        with pytest.raises(ConvAtlasError, match="out of memory"):
            process.ask("memory")
        with pytest.raises(ConvAtlasError, match="ended with code -9"):
            process.ask("memory")


def test_sane_weights_keep_activations_in_range(network) -> None:
    model = make("convatlas", "resnet56")
    images = torch.randn(8, 3, 32, 32)
    make_sane(model, images)
    with torch.no_grad():
        assert 1 < model(images).std() < 9


def test_the_ceiling_is_the_best_of_the_day(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ceilings, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(
        ceilings, "_SIZES", (256,)
    )  # a processor without bf16 needs half a minute for the usual
    first = ceiling(CPU, seconds=0.02)
    assert first.float32 > 1e9
    assert first.copy > 1e8
    assert first.share("float32", first.float32 / 2) == 0.5
    assert TOP.share("int8", 1e9) is None
    # the machine is busy now, and then it is not
    for reached, kept in ((0.5, 1.0), (2.0, 2.0)):
        monkeypatch.setattr(ceilings, "_product", lambda *_, by=reached: by * first.float32)
        assert ceiling(CPU, seconds=0.02).float32 == kept * first.float32
    # what was reached two days ago is no ceiling of today
    now = ceilings.time.time()
    monkeypatch.setattr(ceilings.time, "time", lambda: now + 2 * 24 * 3600)
    monkeypatch.setattr(ceilings, "_product", lambda *_: 0.5 * first.float32)
    assert ceiling(CPU, seconds=0.02).float32 == 0.5 * first.float32


def test_energy_is_read_from_the_counters_also_when_they_turn_over(tmp_path: Path) -> None:
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "energy_uj").write_text("9000000")
    (zone / "max_energy_range_uj").write_text("10000000")
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of the package: counted already
    joules, note = meter(CPU, tmp_path)
    assert joules is not None
    assert "RAPL" in note
    (zone / "energy_uj").write_text("9500000")
    assert joules() == pytest.approx(0.5)
    (zone / "energy_uj").write_text("500000")
    assert joules() == pytest.approx(1.5)


def test_a_machine_that_tells_no_energy_is_told_so(tmp_path: Path) -> None:
    joules, note = meter(CPU, tmp_path)
    assert joules is None
    assert "not told" in note


def test_a_worker_s_peak_is_its_own_and_not_that_of_who_started_it(tmp_path: Path) -> None:
    """Linux hands the peak of a process on to the ones it starts."""
    ballast = torch.ones(1 << 30, dtype=torch.uint8)
    with Process() as process:
        del ballast
        before = process.ask("memory")["process"]
        assert before < 1 << 30
        images = tmp_path / "images.pt"
        torch.save(torch.randn(1 << 16, 1, 32, 32), images)
        process.ask("model", library="convatlas", name="lenet5", images=str(images))
        # to make a batch, all the images (256 MiB) are copied for a moment: a peak that no longer stands when asked
        process.ask("prepare", name="it", kind="eager", precision="float32", batch=1)
        made = process.ask("memory")["process"]
        process.ask("forget_peak")
        after = process.ask("memory")["process"]
    assert made - before > 2 * images.stat().st_size - (1 << 26)
    if os.access("/proc/self/clear_refs", os.W_OK):
        assert made - after > images.stat().st_size - (1 << 26)


_INTERRUPTED = """
import signal, sys
from convatlas.cli import main
from convatlas.cli import options
from convatlas.inference.benchmark import measure
blocks, say = [], options.say
def stop_in_the_second_block(text):
    say(text)
    blocks.append(text)
    if sum("timing" in block for block in blocks) == 1 and "batch 2" in text:
        signal.raise_signal(signal.SIGINT)
options.say = stop_in_the_second_block
sys.exit(main(["benchmark", "lenet5", "--against", "eager", "--batch", "1,2", "--precision", "float32", "--rounds", "3", "-o", sys.argv[1]]))
"""


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "so-far.json"
    command = [sys.executable, "-c", _INTERRUPTED, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert "lenet5, batch 1, 3 rounds" in done.stdout
    assert "lenet5, batch 2, nothing ran" in done.stdout
    assert "stopped by Ctrl-C" in done.stdout
    assert "Traceback" not in done.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["stopped"] is True
    assert [line["problem"] is None for line in found["lines"]] == [True, True, False, False]


def test_an_interrupt_ends_the_workers_at_once(tmp_path: Path) -> None:
    """The worker is in the middle of a search of half a minute; nobody waits for that."""
    images = tmp_path / "images.pt"
    torch.save(torch.randn(4, 3, 32, 32), images)

    def alarm(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    def search(process: Process) -> None:
        with process:
            process.ask("model", library="convatlas", name="resnet20", images=str(images))
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            process.ask("prepare", name="x", kind="convatlas-plain", precision="float32", batch=1, seconds=30)

    before = signal.signal(signal.SIGALRM, alarm)
    worker = Process()
    try:
        with pytest.raises(KeyboardInterrupt):
            search(worker)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert worker._process.returncode == -signal.SIGKILL
