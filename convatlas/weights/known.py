"""Official addresses of published weights, and where `--weights` leads: a name, a run, a file or an address.

torchvision's and timm's file names end with the first 8 hex digits of their sha256, which is checked; Keras
publishes MD5 sums. What has neither is not here: give its file. Licences are those of the publishers.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from convatlas.define.preprocessing import Preprocessing
from convatlas.errors import MisuseError
from convatlas.fetch import DownloadError, Progress, cached, scheme_of

TORCH = "https://download.pytorch.org/models/"
RSB = "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-rsb-weights/"
TIMM = "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/"
CADENE = "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-cadene/"
KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"
LIBRARIES = ("torchvision", "timm", "keras")


@dataclass(frozen=True)
class Known:
    """A published file: its source, our network's name, its address, and what it wants to see."""

    source: str
    network: str
    url: str
    tag: str = ""  # "torchvision:v2" asks for the second recipe
    resize: int = 256
    interpolation: str = "bilinear"
    md5: str = ""
    top1: float | None = None  # as its publisher states it, in percent
    top5: float | None = None

    @property
    def file(self) -> str:
        """The file's own name."""
        return self.url.rpartition("/")[2]

    @property
    def sha256(self) -> str | None:
        """The head of the sha256 that the name carries."""
        return None if self.md5 else _digest_in(self.file)

    def fitted(self, usual: Preprocessing) -> Preprocessing:
        """The source's usual preprocessing with this file's own resize."""
        if self.source == "keras" or self.network.startswith(("inception", "xception")):
            return usual
        return Preprocessing(self.resize, 224, self.interpolation, usual.mean, usual.std)


def _torchvision() -> tuple[Known, ...]:
    # fmt: off
    rows = [  # network, file, resize, top-1, top-5: torchvision 0.28's own tables
        ("alexnet_owt",        "alexnet-owt-7be5be79.pth",              256, 56.522, 79.066),
        ("vgg11",              "vgg11-8a719046.pth",                    256, 69.020, 88.628),
        ("vgg13",              "vgg13-19584684.pth",                    256, 69.928, 89.246),
        ("vgg16",              "vgg16-397923af.pth",                    256, 71.592, 90.382),
        ("vgg19",              "vgg19-dcbb9e9d.pth",                    256, 72.376, 90.876),
        ("vgg11_bn",           "vgg11_bn-6002323d.pth",                 256, 70.370, 89.810),
        ("vgg13_bn",           "vgg13_bn-abd245e5.pth",                 256, 71.586, 90.374),
        ("vgg16_bn",           "vgg16_bn-6c64b313.pth",                 256, 73.360, 91.516),
        ("vgg19_bn",           "vgg19_bn-c79401a0.pth",                 256, 74.218, 91.842),
        ("googlenet_bn",       "googlenet-1378be20.pth",                256, 69.778, 89.530),
        ("inception_v3",       "inception_v3_google-0cc3c7bd.pth",      342, 77.294, 93.450),
        ("resnet18",           "resnet18-f37072fd.pth",                 256, 69.758, 89.078),
        ("resnet34",           "resnet34-b627a593.pth",                 256, 73.314, 91.420),
        ("resnet50_v1_5",      "resnet50-0676ba61.pth",                 256, 76.130, 92.862),
        ("resnet101_v1_5",     "resnet101-63fe2227.pth",                256, 77.374, 93.546),
        ("resnet152_v1_5",     "resnet152-394f9c45.pth",                256, 78.312, 94.046),
        ("resnext50_32x4d",    "resnext50_32x4d-7cdf4587.pth",          256, 77.618, 93.698),
        ("resnext101_32x8d",   "resnext101_32x8d-8ba56ff5.pth",         256, 79.312, 94.526),
        ("resnext101_64x4d",   "resnext101_64x4d-173b62eb.pth",         232, 83.246, 96.454),
        ("squeezenet1_0",      "squeezenet1_0-b66bff10.pth",            256, 58.092, 80.420),
        ("squeezenet1_1",      "squeezenet1_1-b8a52dc0.pth",            256, 58.178, 80.624),
        ("densenet121",        "densenet121-a639ec97.pth",              256, 74.434, 91.972),
        ("densenet161",        "densenet161-8d451a50.pth",              256, 77.138, 93.560),
        ("densenet169",        "densenet169-b2777c0a.pth",              256, 75.600, 92.806),
        ("densenet201",        "densenet201-c1103571.pth",              256, 76.896, 93.370),
        ("mobilenet_v2",       "mobilenet_v2-b0353104.pth",             256, 71.878, 90.286),
        ("mobilenet_v3_large", "mobilenet_v3_large-8738ca79.pth",       256, 74.042, 91.340),
        ("mobilenet_v3_small", "mobilenet_v3_small-047dcff4.pth",       256, 67.668, 87.402),
        ("shufflenet_v2_x0_5", "shufflenetv2_x0.5-f707e7126e.pth",      256, 60.552, 81.746),
        ("shufflenet_v2_x1_0", "shufflenetv2_x1-5666bf0f80.pth",        256, 69.362, 88.316),
        ("shufflenet_v2_x1_5", "shufflenetv2_x1_5-3c479a10.pth",        232, 72.996, 91.086),
        ("shufflenet_v2_x2_0", "shufflenetv2_x2_0-8be3c8ee.pth",        232, 76.230, 93.006),
    ]
    second = [  # the newer training recipe
        ("resnet50_v1_5",      "resnet50-11ad3fa6.pth",                 232, 80.858, 95.434),
        ("resnet101_v1_5",     "resnet101-cd907fc2.pth",                232, 81.886, 95.780),
        ("resnet152_v1_5",     "resnet152-f82ba261.pth",                232, 82.284, 96.002),
        ("resnext50_32x4d",    "resnext50_32x4d-1a0047aa.pth",          232, 81.198, 95.340),
        ("resnext101_32x8d",   "resnext101_32x8d-110c445d.pth",         232, 82.834, 96.228),
        ("mobilenet_v2",       "mobilenet_v2-7ebf99e0.pth",             232, 72.154, 90.822),
        ("mobilenet_v3_large", "mobilenet_v3_large-5c1a4163.pth",       232, 75.274, 92.566),
    ]
    # fmt: on
    return tuple(
        Known("torchvision", name, TORCH + file, tag, resize, top1=top1, top5=top5)
        for tag, table in (("", rows), ("v2", second))
        for name, file, resize, top1, top5 in table
    )


def _timm() -> tuple[Known, ...]:
    # fmt: off
    rows = [  # network, address, resize (crop / crop_pct): timm 1.0.31's own tables
        ("resnet18",           RSB + "resnet18_a1_0-d63eafa0.pth",                   235, "bicubic"),
        ("resnet34",           RSB + "resnet34_a1_0-46f8f793.pth",                   235, "bicubic"),
        ("resnet50_v1_5",      RSB + "resnet50_a1_0-14fe96d1.pth",                   235, "bicubic"),
        ("resnet101_v1_5",     RSB + "resnet101_a1_0-cdcb52a9.pth",                  235, "bicubic"),
        ("resnet152_v1_5",     RSB + "resnet152_a1_0-2eee8a7a.pth",                  235, "bicubic"),
        ("resnext50_32x4d",    RSB + "resnext50_32x4d_a1h-0146ab0a.pth",             235, "bicubic"),
        ("se_resnet50_v1_5",   RSB + "seresnet50_a1_0-ffa00869.pth",                 235, "bicubic"),
        ("se_resnet50",        CADENE + "se_resnet50-ce0d4300.pth",                  256, "bilinear"),
        ("senet154",           TIMM + "legacy_senet154-e9eb9fe6.pth",                256, "bilinear"),
        ("mobilenet_v2",       TIMM + "mobilenetv2_100_ra-b33bc2c4.pth",             256, "bicubic"),
        ("mobilenet_v3_large", TIMM + "mobilenetv3_large_100_ra-f55367f5.pth",       256, "bicubic"),
        ("mobilenet_v3_small", TIMM + "mobilenetv3_small_100_lamb-266a294c.pth",     256, "bicubic"),
    ]
    # fmt: on
    return tuple(Known("timm", name, url, "", resize, how) for name, url, resize, how in rows)


def _keras() -> tuple[Known, ...]:
    kernels = "weights_tf_dim_ordering_tf_kernels.h5"
    # fmt: off
    rows = [  # network, path, MD5: keras 3.15.1's own tables
        ("vgg16",               f"vgg16/vgg16_{kernels}",                             "64373286793e3c8b2b4e3219cbf3544b"),
        ("vgg19",               f"vgg19/vgg19_{kernels}",                             "cbe5617147190e668d6c5d5026f83318"),
        ("resnet50",            f"resnet/resnet50_{kernels}",                         "2cb95161c43110f7111970584f804107"),
        ("resnet101",           f"resnet/resnet101_{kernels}",                        "f1aeb4b969a6efcfb50fad2f0c20cfc5"),
        ("resnet152",           f"resnet/resnet152_{kernels}",                        "100835be76be38e30d865e96f2aaae62"),
        ("densenet121",         f"densenet/densenet121_{kernels}",                    "9d60b8095a5708f2dcce2bca79d332c7"),
        ("densenet169",         f"densenet/densenet169_{kernels}",                    "d699b8f76981ab1b30698df4c175e90b"),
        ("densenet201",         f"densenet/densenet201_{kernels}",                    "1ceb130c1ea1b78c3bf6114dbdfd8807"),
        ("inception_v3",        f"inception_v3/inception_v3_{kernels}",               "9a0d58056eeedaa3f26cb7ebd46da564"),
        ("inception_resnet_v2", f"inception_resnet_v2/inception_resnet_v2_{kernels}", "e693bd0210a403b3192acc6073ad2e96"),
        ("xception",            f"xception/xception_{kernels}",                       "0a58e3b7378bc2990ea3b43d5981f1f6"),
        ("mobilenet_v3_large",  "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float.h5", "59e551e166be033d707958cf9e29a6a7"),
        ("mobilenet_v3_small",  "mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float.h5", "8768d4c2e7dee89b9d02b2d03d65d862"),
    ]
    # fmt: on
    return tuple(Known("keras", name, KERAS + path, md5=md5) for name, path, md5 in rows)


TABLE: tuple[Known, ...] = (*_torchvision(), *_timm(), *_keras())


def known_file(name: str) -> Known | None:
    """The entry of a published file, by the file's name; their names are their own, digest and all."""
    return next((entry for entry in TABLE if entry.file == name), None)


def resolve(
    spec: str | os.PathLike[str], network_name: str = "", *, progress: Progress | None = None
) -> Path:
    """Path of the file that `--weights SPEC` means for a network, downloaded and verified if need be.

    spec: torchvision, timm or keras (with ":v2", torchvision's newer recipe), a file, a run folder, or an
    address, to which "#sha256=..." may be added. The cache is used first and works offline. Raises MisuseError
    where nothing is known by that name, DownloadError where it cannot be had.
    """
    text = os.fspath(spec)
    library, _, tag = text.partition(":")
    if library in LIBRARIES:
        return _fetch(_published(library, tag, network_name), progress)
    if scheme_of(text) in ("http", "https"):
        url, fragment = urldefrag(text)
        told = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None
        name = Path(urlsplit(url).path).name or "weights"
        host = urlsplit(url).netloc.replace(":", "_")
        digest = told or _digest_in(name)
        # without a digest the address alone tells one model.safetensors from another
        place = host if digest else f"{host}/{hashlib.sha256(os.fsencode(url)).hexdigest()[:16]}"
        return cached(f"weights/{place}/{name}", url, digest, progress=progress)
    path = Path(text)
    if path.is_dir():
        inside = path / "weights.safetensors"
        if inside.exists():
            return inside
        raise MisuseError(f"{path}: a folder without weights.safetensors in it; is the run finished?")
    if path.exists():
        return path
    raise MisuseError(
        f"no weights {text!r}: no such file or run folder, and no library that is known"
        f" ({', '.join(LIBRARIES)}; or an address that begins with https://)"
    )


def _published(library: str, tag: str, network_name: str) -> Known:
    name = network_name.partition("@")[0]
    of_library = [entry for entry in TABLE if entry.source == library]
    found = [entry for entry in of_library if entry.network == name]
    exact = [entry for entry in found if entry.tag == tag]
    if exact:
        return exact[0]
    if found:
        tags = " or ".join(f"{library}:{entry.tag}" if entry.tag else library for entry in found)
        raise MisuseError(f"{library} has no weights {tag!r} of {name}; there are {tags}")
    near = [entry.network for entry in of_library if name and entry.network.startswith(name)]
    hint = f"; it has {' and '.join(dict.fromkeys(near))}" if near else ""
    others = [entry.source for entry in TABLE if entry.network == name]
    where = f"; {' and '.join(dict.fromkeys(others))} have them" if others else ""
    raise MisuseError(
        f"no weights of {library} are known for {name or 'a network without name'}{hint}{where}. What you have"
        " yourself: --weights FILE"
    )


def _fetch(entry: Known, progress: Progress | None) -> Path:
    path = cached(f"weights/{entry.source}/{entry.file}", entry.url, entry.sha256, progress=progress)
    if entry.md5 and _md5(path) != entry.md5:
        path.unlink()
        raise DownloadError(
            f"{entry.file} from {entry.url} is not the file that Keras published: its MD5 should be {entry.md5}."
            " It was deleted; try again"
        )
    return path


def _digest_in(name: str) -> str | None:
    """The hex digits that end a name before its suffix, as in resnet50-0676ba61.pth."""
    digits = name.partition(".pth")[0].rpartition("-")[2].lower()
    return (
        digits
        if name.endswith(".pth") and 8 <= len(digits) <= 64 and set(digits) <= set("0123456789abcdef")
        else None
    )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
