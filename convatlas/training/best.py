"""The best weights so far, kept where a crash or a full disk cannot take them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from convatlas.data.sources import DataSource
from convatlas.define import Network
from convatlas.define.preprocessing import Preprocessing
from convatlas.errors import ConvAtlasError
from convatlas.training.logs import Logs
from convatlas.training.progress import Progress
from convatlas.training.recipe import Recipe
from convatlas.training.run import RunFolder
from convatlas.training.scores import Scores


class Best:
    """Keeps the best weights: in the run folder where there is one, in memory otherwise."""

    def __init__(
        self, folder: RunFolder | None, network: Network, preprocessing: Preprocessing, source: DataSource,
        provenance: Mapping[str, object], recipe: Recipe, logs: Logs,
    ) -> None:  # fmt: skip
        self.folder, self.network, self.preprocessing = folder, network, preprocessing
        self.source, self.provenance, self.recipe, self.logs = source, provenance, recipe, logs
        self.unsaved: dict[str, torch.Tensor] | None = None
        self.epoch = 0  # that the kept weights are of; 0: none are kept

    def keep(self, model: nn.Module, scores: Scores, epoch: int) -> None:
        """Take these weights."""
        self.epoch = epoch
        if self.folder is None:
            self.unsaved = {k: v.detach().clone() for k, v in model.state_dict().items()}
            return
        try:
            self.write(self.folder.weights, model.state_dict(), scores, epoch)
            self.unsaved = None
        except ConvAtlasError as error:
            self.unsaved = {k: v.detach().clone() for k, v in model.state_dict().items()}
            self.logs.say(f"warning: {error} (the weights are kept in memory until the end of the run)")

    def write(self, path: Path, state: Mapping[str, torch.Tensor], scores: Scores, epoch: int) -> None:
        """Write weights with all that is needed to use them."""
        from convatlas.weights import save_weights

        save_weights(
            path,
            state,
            network=self.network,
            preprocessing=self.preprocessing,
            classes=self.source.classes,
            scores={
                "data": self.source.name,
                "top1": scores.top1,
                "top5": scores.top5,
                "images": scores.images,
            },
            provenance={
                **self.provenance,
                "recipe": self.recipe.name,
                "epoch": epoch,
                "data": self.source.record(),
            },
        )

    @property
    def on_disk(self) -> bool:
        """Whether the kept weights lie in the run folder."""
        return self.folder is not None and self.epoch > 0 and self.unsaved is None

    def take_up(self, progress: Progress) -> None:
        """At resume: hold the file's epoch against the checkpoint's, so that no weights go by another epoch's score.

        Another epoch of this run is taken for what it is; what is none, or is gone, makes the choice begin anew.
        """
        expected = progress.epoch if self.recipe.select == "last" else progress.best_epoch
        if self.folder is None or not expected:
            return
        found = kept_epoch(self.folder.weights)
        if found == expected:
            self.epoch = expected
            return
        if self.recipe.select == "last":
            return  # the checkpoint has them
        scores = {line["epoch"]: line["top1"] for line in progress.history}
        self.epoch = found if found is not None and found in scores else 0
        progress.best_epoch = self.epoch
        progress.best = float(scores.get(self.epoch, -1.0) or 0.0)  # type: ignore[arg-type]
        holds = "is gone" if found is None else f"is of epoch {found}" if found else "is no epoch's"
        then = f"epoch {found} counts as the best" if self.epoch else "the best is chosen anew"
        self.logs.say(
            f"warning: {self.folder.weights} {holds}, where the checkpoint has epoch {expected} as the best so far; {then}"
        )

    def state(self) -> Mapping[str, torch.Tensor] | None:
        """The kept weights, None where none were."""
        if self.unsaved is not None:
            return self.unsaved
        if self.folder is None or not self.on_disk:
            return None
        from convatlas.weights import read_weights

        return read_weights(self.folder.weights).state_dict


def kept_epoch(path: Path) -> int | None:
    """The epoch that a weights file says it is of; None where there is no file, 0 where it does not say."""
    from convatlas.weights.header import WeightsError, read_header

    if not path.exists():
        return None
    try:
        epoch = read_header(path).provenance.get("epoch")
    except WeightsError:
        return 0
    return epoch if isinstance(epoch, int) else 0
