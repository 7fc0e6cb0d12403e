"""A recipe: everything that decides how a network is trained, as one frozen value.

Standard library only, so that `convatlas train --help` can list the fields without loading torch. A field is
changed by its name, from Python with `dataclasses.replace`, from text with `override`; a name that does not
exist is an error that offers the nearest ones.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field

from convatlas.data.augmentation import Augmentation
from convatlas.errors import MisuseError
from convatlas.training.fields import check_fields, words

OPTIMIZERS = ("sgd", "nesterov", "rmsprop", "adam", "adamw", "adadelta", "muon")
SCHEDULES = (
    "constant", "step", "exponential", "plateau", "one_cycle", "cosine", "linear", "polynomial", "inverse",
)  # fmt: skip
PRECISIONS = ("auto", "float32", "bf16")
CHOICES = ("auto", "on", "off")


def _about(text: str) -> dict[str, str]:
    return {"help": text}


@dataclass(frozen=True)
class Recipe:
    """How to train. Epochs are passes over the training set; shares are of the whole run, 0 to 1."""

    name: str = field(default="plain", metadata=_about("what the recipe is called"))
    source: str = field(default="", metadata=_about("where it is published"))

    # how long, and in what portions
    epochs: int = field(default=10, metadata=_about("passes over the training set"))
    batch: int = field(default=128, metadata=_about("images a step (in all, over workers)"))
    accumulate: int = field(default=1, metadata=_about("parts that a batch is computed in, to save memory"))

    # the optimizer
    optimizer: str = field(default="sgd", metadata=_about(" ".join(OPTIMIZERS)))
    lr: float = field(default=0.1, metadata=_about("learning rate at its highest"))
    momentum: float = field(default=0.9, metadata=_about("momentum; beta1 of Adam"))
    decay: float = field(default=0.9, metadata=_about("mean of squares: RMSProp, Adadelta; beta2 of Adam"))
    epsilon: float = field(default=1e-8, metadata=_about("added under the root: RMSProp, Adam, Adadelta"))
    weight_decay: float = field(default=0.0, metadata=_about("times the weight, added to its gradient"))
    no_decay_on_norms_and_biases: bool = field(
        default=False, metadata=_about("weight decay on weights of convolutions and linear layers alone")
    )
    clip: float = field(default=0.0, metadata=_about("highest norm of the gradient; 0: any"))

    # the learning rate over time
    schedule: str = field(default="constant", metadata=_about(" ".join(SCHEDULES)))
    warmup: float = field(default=0.0, metadata=_about("epochs of linear rise from nearly 0"))
    milestones: tuple[float, ...] = field(default=(), metadata=_about("step: epochs at which lr falls"))
    every: float = field(default=0.0, metadata=_about("step, exponential: lr falls every so many epochs"))
    gamma: float = field(default=0.1, metadata=_about("what lr is multiplied by where it falls"))
    power: float = field(default=1.0, metadata=_about("polynomial, inverse: the exponent"))
    patience: int = field(default=3, metadata=_about("plateau: epochs without gain before lr falls"))
    peak: float = field(default=0.25, metadata=_about("one_cycle: share of the run at which lr is highest"))
    lr_start: float = field(default=0.1, metadata=_about("one_cycle: first lr as a share of the highest"))
    lr_final: float = field(default=0.0, metadata=_about("last lr as a share of the highest"))

    # the objective
    label_smoothing: float = field(
        default=0.0, metadata=_about("share of the target spread over all classes")
    )
    aux_loss_weight: float = field(default=0.3, metadata=_about("weight of each auxiliary head's loss"))

    # the pictures
    augmentation: Augmentation = field(
        default=Augmentation(), metadata=_about("what is done to the pictures")
    )
    start_size: int = field(default=0, metadata=_about("progressive resizing: side at the start; 0: off"))
    full_size_at: float = field(default=0.6, metadata=_about("share of the run from which the side is full"))

    # weights over time
    ema: float = field(default=0.0, metadata=_about("decay a step of the averaged weights; 0: none"))
    select: str = field(default="best", metadata=_about("weights that are kept: best or last"))
    holdout: float = field(
        default=0.0, metadata=_about("share of the training set by which to choose, instead of the test set")
    )
    early_stop: int = field(default=0, metadata=_about("stop after so many epochs without gain; 0: never"))
    stop_at: float = field(
        default=0.0, metadata=_about("stop at the epoch that reaches this top-1; 0: never")
    )

    # fine-tuning
    head_epochs: int = field(default=0, metadata=_about("epochs of the head alone, on cached features"))
    head_lr: float = field(default=0.0, metadata=_about("lr of that; 0: lr"))
    inherit: bool = field(
        default=True, metadata=_about("new classes begin as the old ones that their photos look most like")
    )
    layer_decay: float = field(default=1.0, metadata=_about("lr of a row, as a share of the next row's"))

    # the machine
    precision: str = field(default="auto", metadata=_about(" ".join(PRECISIONS)))
    channels_last: str = field(default="auto", metadata=_about(" ".join(CHOICES)))
    compile: str = field(default="auto", metadata=_about("torch.compile: " + " ".join(CHOICES)))
    replicas: int = field(default=0, metadata=_about("threads that share a batch on a CPU; 0: as measured"))
    deterministic: bool = field(default=False, metadata=_about("the same bits each time on the same machine"))
    sync_batchnorm: bool = field(default=False, metadata=_about("batch norm over all workers' images"))
    checkpoint_minutes: float = field(default=5.0, metadata=_about("at most so much work is ever lost"))

    def __post_init__(self) -> None:
        check_fields(Recipe, vars(self), "recipe")
        if not isinstance(self.augmentation, Augmentation):
            raise MisuseError(
                f"recipe: augmentation should be an Augmentation, received {self.augmentation!r}"
            )
        check_fields(Augmentation, vars(self.augmentation), "augmentation")
        for name, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("precision", PRECISIONS),
            ("channels_last", CHOICES),
            ("compile", CHOICES),
            ("select", ("best", "last")),
        ):
            value = getattr(self, name)
            if value not in known:
                near = difflib.get_close_matches(str(value), known, n=1)
                raise MisuseError(
                    f"recipe: {name} {value!r} is none of {', '.join(known)}"
                    + (f"; did you mean {near[0]}?" if near else "")
                )
        for name, low, high in _LIMITS:
            value = getattr(self, name)
            if not low <= value <= high:  # NaN fails as well
                raise MisuseError(f"recipe: {name} must be {low:g} to {high:g}, received {value!r}")
        if not all(0 <= m <= _BIG for m in self.milestones):
            raise MisuseError(f"recipe: milestones must be epochs, 0 and more, received {self.milestones!r}")
        if self.optimizer in ("adam", "adamw") and max(self.momentum, self.decay) == 1:
            raise MisuseError(
                f"recipe: {self.optimizer} needs a momentum and a decay below 1, received {self.momentum:g} and {self.decay:g}"
            )
        if self.batch % self.accumulate:
            raise MisuseError(
                f"recipe: a batch of {self.batch} cannot be computed in {self.accumulate} equal parts; "
                "give accumulate a divisor of batch"
            )
        if self.optimizer == "nesterov" and self.momentum == 0:
            raise MisuseError("recipe: nesterov needs a momentum above 0; sgd does without")
        if self.schedule == "step" and not self.milestones and self.every <= 0:
            raise MisuseError("recipe: schedule step needs milestones (epochs) or every (epochs)")
        if self.schedule == "exponential" and self.every <= 0:
            raise MisuseError("recipe: schedule exponential needs every (epochs)")

    def to_dict(self) -> dict[str, object]:
        """All fields, as JSON can carry them; `from_dict` takes it back."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["milestones"] = list(self.milestones)
        values["augmentation"] = self.augmentation.to_dict()
        return values

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> Recipe:
        """MisuseError on a name that is no field, and on a value that is not of its field's type."""
        for name in fields:
            _known(name)
        values = dict(fields)
        pictures = values.get("augmentation", {})
        if not isinstance(pictures, dict):
            raise MisuseError(f"recipe: augmentation should be an object, received {pictures!r}")
        check_fields(Augmentation, pictures, "augmentation")
        values["augmentation"] = Augmentation.from_dict(pictures)
        if isinstance(values.get("milestones"), list):
            values["milestones"] = tuple(typing.cast("list[float]", values["milestones"]))
        return cls(**values)  # type: ignore[arg-type]


_BIG = 1e9
_LIMITS: tuple[tuple[str, float, float], ...] = (
    ("epochs", 0, _BIG), ("batch", 1, _BIG), ("accumulate", 1, _BIG), ("lr", 0, _BIG), ("momentum", 0, 1),
    ("decay", 0, 1), ("epsilon", 0, _BIG), ("weight_decay", 0, _BIG), ("clip", 0, _BIG), ("warmup", 0, _BIG),
    ("every", 0, _BIG), ("gamma", 0, 1), ("power", 0, 100), ("patience", 0, _BIG), ("peak", 0, 1),
    ("lr_start", 0, 1), ("lr_final", 0, 1), ("label_smoothing", 0, 0.99), ("aux_loss_weight", 0, _BIG),
    ("start_size", 0, _BIG), ("full_size_at", 0, 1), ("ema", 0, 0.999999), ("holdout", 0, 0.9),
    ("early_stop", 0, _BIG), ("stop_at", 0, 1), ("head_epochs", 0, _BIG), ("head_lr", 0, _BIG),
    ("layer_decay", 0, 1), ("replicas", 0, 1024), ("checkpoint_minutes", 0, _BIG),
)  # fmt: skip


def settable() -> dict[str, str]:
    """Every name that `override` takes, with what it is: the recipe's fields, then those of its augmentation."""
    own = {f.name: f.metadata.get("help", "") for f in dataclasses.fields(Recipe) if f.name != "augmentation"}
    return own | {f.name: "augmentation" for f in dataclasses.fields(Augmentation)}


def override(recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
    """The recipe with fields set from text: {"lr": "0.05", "milestones": "30,60", "flip": "0.5"}.

    A name of the augmentation may be written alone or as augmentation.flip. MisuseError on an unknown name, with
    the nearest ones, and on a value that is not of the field's type.
    """
    own: dict[str, object] = {}
    pictures: dict[str, object] = {}
    for written, text in settings.items():
        name = written.replace("-", "_").removeprefix("augmentation.")
        _known(name)
        if name == "augmentation":
            raise MisuseError(
                "augmentation is set by its fields, as flip=0.5: " + ", ".join(_names(Augmentation))
            )
        owner = Recipe if name in _names(Recipe) else Augmentation
        (own if owner is Recipe else pictures)[name] = _parse(owner, name, text)
    if pictures:
        own["augmentation"] = dataclasses.replace(recipe.augmentation, **pictures)  # type: ignore[arg-type]
    return dataclasses.replace(recipe, **own)  # type: ignore[arg-type]


def fields_in_words() -> str:
    """Every name that `override` takes, with the kind of its value."""
    hints = [item for owner in (Recipe, Augmentation) for item in typing.get_type_hints(owner).items()]
    return ", ".join(f"{name} ({words(hint)})" for name, hint in hints if name != "augmentation")


def _names(cls: type) -> list[str]:
    return [f.name for f in dataclasses.fields(cls)]


def _known(name: str) -> None:
    names = [*_names(Recipe), *_names(Augmentation)]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"nearest: {', '.join(near)}; " if near else ""
        raise MisuseError(f"unknown recipe field {name!r}; {hint}fields: {fields_in_words()}")


def _parse(owner: type, name: str, text: str) -> object:
    """Read a value as the type of the field's annotation."""
    kind = str(typing.get_type_hints(owner)[name])
    try:
        if "tuple" in kind:
            parts = [p for p in text.strip("()[]").replace(";", ",").split(",") if p.strip()]
            number = int if "int" in kind else float
            return tuple(number(p) for p in parts) if parts or "None" not in kind else None
        if "bool" in kind:
            return {
                "true": True,
                "on": True,
                "yes": True,
                "1": True,
                "false": False,
                "off": False,
                "no": False,
                "0": False,
            }[text.strip().lower()]
        if "int" in kind:
            return int(text)
        if "float" in kind:
            return float(text)
    except (KeyError, ValueError) as error:
        wanted = next((w for k, w in _WORDS if k in kind), "a value")
        raise MisuseError(f"recipe field {name} takes {wanted}, received {text!r}") from error
    return text


_WORDS = (
    ("tuple", "numbers with commas, as 30,60"),
    ("bool", "on or off"),
    ("int", "a whole number"),
    ("float", "a number"),
)
