"""What `optimize` gives: a callable in the place of the model, that answers whatever happens."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from convatlas.errors import MisuseError
from convatlas.inference.engines import Plan
from convatlas.inference.engines.eager import without_gradients
from convatlas.inference.report import Report
from convatlas.inference.tiles import Tiled


class Optimized:
    """A callable in the place of the model: float images (n, C, H, W) of any n, to float32 logits.

    report: what was tried. plan: what was taken. Images of another size, and whatever the taken engine fails at,
    are answered by the model itself in float32, with a warning the first time.
    """

    def __init__(self, model: nn.Module, example: Tensor, run: Tiled | None, report: Report) -> None:
        self.report = report
        self.plan = run.plan if run else Plan("eager", "float32", 1, torch.get_num_threads())
        self._eager = without_gradients(model)
        self._run = run
        self._shape, self._device = tuple(example.shape[1:]), example.device
        self._warned = False

    @property
    def precision(self) -> str:
        return self.plan.precision

    def __call__(self, images: Tensor) -> Tensor:
        if (
            not isinstance(images, Tensor)
            or images.dim() != 4
            or not images.is_floating_point()
            or len(images) == 0
        ):
            got = (
                f"{images.dtype} {tuple(images.shape)}"
                if isinstance(images, Tensor)
                else type(images).__name__
            )
            raise MisuseError(
                f"images: expected a float batch (n, {', '.join(map(str, self._shape))}) with n >= 1, received {got}"
            )
        # gradients do not pass, and no engine takes what asks for them
        images = images.detach().float()
        if self._run is None:
            return self._eager(images)
        if tuple(images.shape[1:]) != self._shape or images.device != self._device:
            self._warn(
                f"optimized for {self._shape} on {self._device}, received {tuple(images.shape[1:])} on {images.device}"
            )
            return self._answer_eagerly(images)
        try:
            return self._run(images)
        except Exception as error:  # noqa: BLE001  an engine may raise anything; the float32 path still answers
            self._warn(f"{self.plan.engine} failed ({type(error).__name__}: {error})")
            return self._answer_eagerly(images)

    def _answer_eagerly(self, images: Tensor) -> Tensor:
        try:
            return self._eager(images)
        except (RuntimeError, ValueError) as error:
            raise MisuseError(
                f"images: the network was optimized for (n, {', '.join(map(str, self._shape))}) and does not take {tuple(images.shape)} ({error})"
            ) from error

    def _warn(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"{what}; answered by the model in float32", RuntimeWarning, stacklevel=3)
