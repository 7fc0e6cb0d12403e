"""Official names, addresses and files: what `--weights` leads to."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from convatlas.errors import MisuseError
from convatlas.fetch import DownloadError
from convatlas.networks import catalogue
from convatlas.weights import WeightsError, imagenet_classes, imagenet_wnids, known, resolve
from convatlas.weights.classifier import open_classifier


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """An address on this machine and the folder that it serves; the cache is a fresh one."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("CONVATLAS_CACHE", str(tmp_path / "cache"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


def publish(folder: Path, content: bytes, name: str = "net-{}.pth") -> str:
    name = name.format(hashlib.sha256(content).hexdigest()[:8])
    (folder / name).write_bytes(content)
    return name


def test_an_address_is_fetched_checked_by_the_digest_in_its_name_and_kept(
    site: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = site
    name = publish(folder, b"weights")
    path = resolve(f"{address}/{name}")
    assert path.read_bytes() == b"weights"
    (folder / name).unlink()
    monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    assert resolve(f"{address}/{name}") == path


def test_a_file_whose_digest_is_not_that_of_its_name_is_refused(site: tuple[str, Path]) -> None:
    address, folder = site
    (folder / "net-0123abcd.pth").write_bytes(b"something else")
    with pytest.raises(DownloadError, match="sha256"):
        resolve(f"{address}/net-0123abcd.pth")


def test_a_digest_may_be_given_with_the_address(site: tuple[str, Path]) -> None:
    address, folder = site
    publish(folder, b"weights", "model.safetensors")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert resolve(f"{address}/model.safetensors#sha256={digest}").read_bytes() == b"weights"
    with pytest.raises(DownloadError, match="sha256"):
        resolve(f"{address}/model.safetensors#sha256={'0' * 64}")


@pytest.mark.parametrize(("first", "second"), [("/m1/w.pth", "/m2/w.pth"), ("/w.pth?of=1", "/w.pth?of=2")])
def test_addresses_that_end_in_the_same_name_are_different_weights(
    site: tuple[str, Path], first: str, second: str
) -> None:
    address, folder = site
    for number, place in enumerate((first, second)):
        file = folder / place.partition("?")[0].strip("/")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"weights %d" % number)
        path = resolve(address + place)
        assert (path.name, path.read_bytes()) == ("w.pth", b"weights %d" % number)


def test_broken_weights_of_an_address_say_how_to_have_them_again(site: tuple[str, Path]) -> None:
    address, folder = site
    publish(folder, b"half of the weights", "w.safetensors")
    with pytest.raises(WeightsError, match="cache/weights/.*w.safetensors: .*delete it there"):
        open_classifier("lenet5", f"{address}/w.safetensors")


@pytest.mark.parametrize("right", [True, False])
def test_a_library_leads_to_its_file_and_keras_sums_are_checked(
    site: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    address, folder = site
    publish(folder, b"weights", "vgg16.h5")
    md5 = hashlib.md5(b"weights" if right else b"others").hexdigest()
    entry = dataclasses.replace(
        known.TABLE[0], source="keras", network="vgg16", url=f"{address}/vgg16.h5", md5=md5
    )
    monkeypatch.setattr(known, "TABLE", (entry,))
    if right:
        assert resolve("keras", "vgg16@192").read_bytes() == b"weights"
        return
    with pytest.raises(DownloadError, match="MD5"):
        resolve("keras", "vgg16")


@pytest.mark.parametrize(
    ("spec", "network", "told"),
    [
        ("torchvision", "resnet50", "resnet50_v1_5"),
        ("torchvision", "resnet50", "keras"),
        ("torchvision:v9", "resnet50_v1_5", "torchvision or torchvision:v2"),
        ("timm", "lenet5", "no weights of timm"),
        ("nowhere.pth", "lenet5", "no such file"),
    ],
)
def test_what_is_not_known_says_what_is(spec: str, network: str, told: str) -> None:
    with pytest.raises(MisuseError, match=told):
        resolve(spec, network)


def test_a_run_folder_stands_for_its_weights(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match=r"without weights\.safetensors"):
        resolve(tmp_path)
    (tmp_path / "weights.safetensors").touch()
    assert resolve(tmp_path) == tmp_path / "weights.safetensors"


def test_every_known_file_can_be_verified_and_is_of_a_network_of_the_catalogue() -> None:
    for entry in known.TABLE:
        assert entry.network in catalogue.names()
        assert len(entry.md5) == 32 or (entry.sha256 and 8 <= len(entry.sha256) <= 10), entry.file
    found = known.known_file("resnet50-0676ba61.pth")
    assert found is not None
    assert found.network == "resnet50_v1_5"


def test_the_classes_are_those_of_imagenet_in_the_order_of_their_ids() -> None:
    assert len(imagenet_classes()) == len(set(imagenet_wnids())) == 1000
    assert list(imagenet_wnids()) == sorted(imagenet_wnids())
    assert (imagenet_wnids()[0], imagenet_classes()[0]) == ("n01440764", "tench")
    assert imagenet_classes()[207] == "golden retriever"
    assert imagenet_classes()[999] == "toilet tissue"
