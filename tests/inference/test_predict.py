"""Predictions: in order, one a picture, the unreadable ones named, however the pictures were given."""

from __future__ import annotations

import contextlib
import http.server
import io
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="prediction runs on torch, which is not installed")

from PIL import Image  # noqa: E402

from convatlas import define as d  # noqa: E402
from convatlas.data.images import ImageError  # noqa: E402
from convatlas.data.pixels import load  # noqa: E402
from convatlas.define.preprocessing import Preprocessing  # noqa: E402
from convatlas.errors import MisuseError  # noqa: E402
from convatlas.inference.pictures import Picture, pictures  # noqa: E402
from convatlas.inference.predict import predict, sample  # noqa: E402
from convatlas.modules import build  # noqa: E402
from convatlas.weights.classifier import Classifier  # noqa: E402
from tests.modules.filling import fill  # noqa: E402

NETWORK = d.Network(input=(3, 16, 16), conv=d.Conv(4, 3, 2), pool=d.GlobalAvgPool(), fc=d.Linear(3))


@pytest.fixture
def tiny() -> Classifier:
    return Classifier(
        "tiny", fill(build(NETWORK)), NETWORK, Preprocessing(resize=20, crop=16), ("a", "b", "c")
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    (tmp_path / "deep").mkdir()
    for i in range(7):
        noise = torch.randint(0, 255, (30, 25, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(noise.numpy()).save(tmp_path / ("deep" if i % 2 else "") / f"{i}.png")
    (tmp_path / "3 broken.jpg").write_text("this is no picture")
    return tmp_path


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_every_picture_gets_the_answer_that_it_gets_alone(
    tiny: Classifier, folder: Path, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether others read ahead, or each core reads and computes."""
    monkeypatch.setattr("convatlas.inference.predict._lanes", lambda *_: cores)
    found = pictures([str(folder)])
    answers = list(predict(tiny, found, batch=3, top=2))
    assert [a.path for a in answers] == [p.name for p in found]
    for answer in answers:
        if answer.error is not None:
            assert "broken" in answer.path
            continue
        with torch.no_grad():
            alone = tiny.model(load(answer.path, tiny.preprocessing)[None]).softmax(1)[0]
        assert [g.index for g in answer.guesses] == alone.topk(2).indices.tolist()
        assert answer.guesses[0].probability == pytest.approx(float(alone.max()), abs=1e-6)
        assert answer.guesses[0].label == "abc"[answer.guesses[0].index]
    assert sum(a.error is not None for a in answers) == 1


def test_folders_patterns_and_files_are_expanded_in_order(folder: Path) -> None:
    assert len(pictures([str(folder)])) == 8
    assert [Path(p.name).name for p in pictures([f"{folder}/deep/*.png"])] == ["1.png", "3.png", "5.png"]
    assert [p.name for p in pictures(["missing.png"])] == ["missing.png"]
    with pytest.raises(MisuseError, match="no picture in"):
        pictures([f"{folder}/*.gif"])


def test_a_sample_is_spread_over_all_pictures(tiny: Classifier, tmp_path: Path) -> None:
    for i in range(9):
        Image.new("RGB", (20, 20), (28 * i, 0, 0)).save(tmp_path / f"{i}.png")
    found = sample(tiny, pictures([str(tmp_path)]), 5)
    assert found is not None
    expected = [load(tmp_path / f"{i}.png", tiny.preprocessing) for i in (0, 1, 3, 5, 7)]
    assert torch.equal(found, torch.stack(expected))


def test_a_missing_file_fails_alone(tiny: Classifier, folder: Path) -> None:
    answers = list(predict(tiny, pictures([f"{folder}/0.png", "missing.png"])))
    assert answers[0].error is None
    assert "No such file" in str(answers[1].error)


def test_standard_input_is_a_picture_or_a_list(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for data, count in (
        ((folder / "0.png").read_bytes(), 1),
        (f"{folder}/0.png\n\n{folder}/deep\n".encode(), 4),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert len(pictures(["-"])) == count
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(MisuseError, match="nothing came on standard input"):
        pictures(["-"])


def test_addresses_are_fetched_and_a_dead_one_says_so(tiny: Classifier, folder: Path) -> None:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        answers = list(predict(tiny, pictures([f"{base}/0.png", f"{base}/none.png"])))
        server.shutdown()
        server.server_close()
    assert answers[0].guesses
    assert "cannot be fetched" in str(answers[1].error)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
    ],
)
def test_a_server_that_answers_nonsense_fails_alone(tiny: Classifier, folder: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.jpg"
        answers = list(predict(tiny, pictures([address, f"{folder}/0.png"])))
    assert answers[0].error is not None
    assert answers[1].guesses


@pytest.mark.parametrize(
    "name",
    ["http://127.0.0.1:9/a b.jpg", "http://[::1/a.jpg", "http://a\0b/c.jpg", "nul\0byte.jpg", "nul\0*.jpg", "x" * 5000],
)  # fmt: skip
def test_a_name_that_cannot_be_fails_alone(tiny: Classifier, folder: Path, name: str) -> None:
    answers = list(predict(tiny, pictures([name, f"{folder}/0.png"])))
    assert answers[0].error is not None
    assert answers[1].guesses


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_what_is_no_file_is_not_waited_for(tiny: Classifier, folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    for name in (str(folder / "pipe.jpg"), "/dev/zero"):
        assert "not a file" in str(next(predict(tiny, pictures([name]))).error)


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convatlas.inference.pictures._LONGEST", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):  # until the other side goes
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while True:
                    connection.sendall(b"x")

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(ImageError, match="not whole after"):
            Picture(f"http://127.0.0.1:{server.getsockname()[1]}/a.jpg").read()


@pytest.mark.parametrize("cores", [1, 2])
def test_a_caller_may_stop_early(
    tiny: Classifier, folder: Path, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convatlas.inference.predict._lanes", lambda *_: cores)
    answers = predict(tiny, pictures([str(folder)] * 50), batch=4)
    next(answers)
    answers.close()  # returns at once: what was not begun is not read


def test_odd_images_are_read_or_named(tiny: Classifier, shared_data: Path) -> None:
    """As the manifest of the odd images says of each: decoded, or refused with a reason."""
    manifest = (shared_data / "odd-images" / "MANIFEST.tsv").read_text(encoding="utf-8").splitlines()[1:]
    expected = {line.split("\t")[0]: line.rstrip().endswith("decodes") for line in manifest}
    names = [str(shared_data / "odd-images" / name) for name in expected]
    for answer, reads in zip(predict(tiny, pictures(names)), expected.values(), strict=True):
        assert (answer.error is None) == reads, answer


def test_reading_an_absent_picture_raises_with_its_name() -> None:
    with pytest.raises(ImageError, match=r"nothing\.png"):
        Picture("nothing.png").read()
