"""A run from end to end, in a second: what it learns, what it writes, and how it goes on."""

from __future__ import annotations

import dataclasses
import json
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from convatlas.data.augmentation import Augmentation
from convatlas.data.sources import DataSource
from convatlas.define import Network
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.modules import build
from convatlas.training.best import Best
from convatlas.training.fit import fit
from convatlas.training.logs import Logs
from convatlas.training.loop import Diverged, Interrupted
from convatlas.training.recipe import Recipe
from convatlas.training.scores import Scores
from convatlas.training.start import Start
from convatlas.training.suit import suited
from convatlas.weights import read_weights

RECIPE = Recipe(
    epochs=4, batch=16, lr=0.05, schedule="one_cycle", deterministic=True, precision="float32", replicas=1,
    augmentation=Augmentation(padding=1), ema=0.9, optimizer="nesterov",
)  # fmt: skip


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_weights(folder / "weights.safetensors").state_dict


class StopAt(Logs):
    """Sends Ctrl-C to this process when an epoch begins."""

    def __init__(self, epoch: int) -> None:
        self.at, self.said = epoch, list[str]()

    def say(self, text: str) -> None:
        self.said.append(text)

    def begin(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        if epoch == self.at and not done:
            signal.raise_signal(signal.SIGINT)


def test_it_learns_and_writes_all_that_it_promises(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    outcome = fit(network, source, dataclasses.replace(RECIPE, epochs=8), out=out, seed=3)
    assert outcome.summary["top1"] == 1.0
    summary = json.loads((out / "summary.json").read_text())
    promised = {"network", "data", "top1", "epochs", "seconds", "images_per_second", "seed", "weights"}
    assert promised <= set(summary)
    assert (summary["network"], summary["data"], summary["epochs"], summary["seed"]) == ("tiny", "bars", 8, 3)
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 8
    record = json.loads((out / "recipe.json").read_text())
    assert Recipe.from_dict(record["recipe"]).epochs == 8
    assert {"torch", "python", "convatlas"} <= set(record["versions"])
    for name in ("curves.svg", "confusion.svg", "wrong.svg", "report.html"):
        assert (out / name).stat().st_size > 500, name
    page = (out / "report.html").read_text()
    assert "100.00%" in page
    assert not [raw for raw in ("top1", "images_per_second", "chosen_on", "top-5") if raw in page]
    saved = read_weights(out / "weights.safetensors")
    assert saved.classes == ("vertical", "horizontal")
    assert saved.network == network
    assert saved.scores["top1"] == 1.0


def test_a_run_is_a_function_of_its_seed(network: Network, source: DataSource, tmp_path: Path) -> None:
    runs = [fit(network, source, RECIPE, seed=s).model.state_dict() for s in (1, 1, 2)]
    assert all(torch.equal(runs[0][k], runs[1][k]) for k in runs[0])
    assert not all(torch.equal(runs[0][k], runs[2][k]) for k in runs[0])


@pytest.mark.parametrize("epoch", [0, 2])
def test_ctrl_c_saves_and_the_resumed_run_ends_the_same_to_the_bit(
    network: Network, source: DataSource, tmp_path: Path, epoch: int
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(network, source, RECIPE, out=whole, seed=1)
    with pytest.raises(Interrupted, match="--resume") as stopped:
        fit(network, source, RECIPE, out=parts, seed=1, logs=StopAt(epoch))
    assert stopped.value.exit_code == 130
    assert not (parts / "summary.json").exists()
    fit(network, source, RECIPE, out=parts, seed=1, resume=True)
    one, two = weights(whole), weights(parts)
    assert all(torch.equal(one[k], two[k]) for k in one)
    kept = ("epoch", "train_loss", "loss", "top1", "lr")
    lines = [[json.loads(x) for x in (f / "metrics.jsonl").read_text().splitlines()] for f in (whole, parts)]
    assert [[x[k] for k in kept] for x in lines[0]] == [[x[k] for k in kept] for x in lines[1]]


def test_resume_starts_where_there_is_nothing(network: Network, source: DataSource, tmp_path: Path) -> None:
    fit(network, source, dataclasses.replace(RECIPE, epochs=1), out=tmp_path / "new", resume=True)
    assert (tmp_path / "new/summary.json").exists()


def test_a_second_run_does_not_write_over_the_first(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    short = dataclasses.replace(RECIPE, epochs=1)
    fit(network, source, short, out=tmp_path)
    with pytest.raises(MisuseError, match="--resume"):
        fit(network, source, short, out=tmp_path)


def test_an_option_that_contradicts_the_run_is_misuse(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    short = dataclasses.replace(RECIPE, epochs=1)
    fit(network, source, short, out=tmp_path)
    with pytest.raises(MisuseError, match="lr is 0.05 there and 0.2 here"):
        fit(network, source, short, out=tmp_path, resume=True, asked={"recipe.lr": 0.2})
    fit(network, source, short, out=tmp_path, resume=True, asked={"recipe.lr": 0.05})


def test_changed_data_is_told_at_resume(network: Network, source: DataSource, tmp_path: Path) -> None:
    fit(network, source, dataclasses.replace(RECIPE, epochs=1), out=tmp_path)
    changed = dataclasses.replace(source, train=source.train.subset(range(80)))
    with pytest.raises(ConvAtlasError, match="96 pictures to train.*80"):
        fit(network, changed, RECIPE, out=tmp_path, resume=True)


def test_another_network_is_told_at_resume(network: Network, source: DataSource, tmp_path: Path) -> None:
    fit(network, source, dataclasses.replace(RECIPE, epochs=1), out=tmp_path)
    from convatlas.define import ReLU, Tanh, replace

    with pytest.raises(MisuseError, match="definition"):
        fit(replace(network, ReLU, Tanh), source, RECIPE, out=tmp_path, resume=True)


def test_a_checkpoint_of_another_network_is_told(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    from convatlas.define import scale_width
    from convatlas.training import checkpoint

    with pytest.raises(Interrupted):
        fit(network, source, RECIPE, out=tmp_path / "a", logs=StopAt(1))
    with pytest.raises(Interrupted):
        fit(scale_width(network, 2), source, RECIPE, out=tmp_path / "b", logs=StopAt(1))
    stranger = checkpoint.listed(tmp_path / "b/checkpoints")[0]
    (tmp_path / "a/checkpoints/step-000000099.ckpt").write_bytes(stranger.read_bytes())
    with pytest.raises(ConvAtlasError, match="another network"):
        fit(network, source, RECIPE, out=tmp_path / "a", resume=True)


def test_a_corrupt_newest_checkpoint_falls_back_and_says_so(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(network, source, RECIPE, out=whole, seed=1)
    with pytest.raises(Interrupted):
        fit(network, source, RECIPE, out=parts, seed=1, logs=StopAt(2))
    newest = max((parts / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-100])
    log = StopAt(-1)
    fit(network, source, RECIPE, out=parts, seed=1, resume=True, logs=log)
    assert any("damaged" in line and newest.name in line for line in log.said)
    one, two = weights(whole), weights(parts)
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_weights(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    wild = dataclasses.replace(RECIPE, lr=1e8, schedule="constant", ema=0.0, weight_decay=1.0, epochs=50)
    with pytest.raises(Diverged, match="at step [0-9]+ .*--lr"):
        fit(network, source, wild, out=tmp_path)
    assert not (tmp_path / "summary.json").exists()
    kept = tmp_path / "weights.safetensors"
    assert not kept.exists() or all(v.isfinite().all() for v in weights(tmp_path).values())


def test_weights_of_an_epoch_before_the_loss_ran_away_stay(
    network: Network, source: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # good for two epochs, then a learning rate that no network survives
    monkeypatch.setattr("convatlas.training.loop.lr_factor", lambda _r, epoch, _d: 1.0 if epoch < 2 else 1e30)
    with pytest.raises(Diverged, match="epoch 3.*the weights of epoch [12] are kept"):
        fit(network, source, dataclasses.replace(RECIPE, ema=0.0, epochs=50, weight_decay=1.0), out=tmp_path)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert all(v.isfinite().all() for v in weights(tmp_path).values())


def test_accumulation_gives_the_gradient_of_the_whole_batch(network: Network, source: DataSource) -> None:
    from convatlas.define import without_normalization

    plain = without_normalization(network)
    base = dataclasses.replace(RECIPE, epochs=1, ema=0.0, augmentation=Augmentation(), select="last")
    one = fit(plain, source, base, seed=1).model.state_dict()
    four = fit(plain, source, dataclasses.replace(base, accumulate=4), seed=1).model.state_dict()
    for key, value in one.items():
        torch.testing.assert_close(value, four[key], atol=1e-5, rtol=1e-4)


def test_early_stopping_and_a_target_end_the_run(network: Network, source: DataSource) -> None:
    target = fit(network, source, dataclasses.replace(RECIPE, epochs=30, stop_at=0.9), seed=1)
    assert target.summary["epochs"] < 30
    assert target.summary["top1"] >= 0.9
    still = fit(
        network, source, dataclasses.replace(RECIPE, epochs=30, lr=0.0, ema=0.0, early_stop=3), seed=1
    )
    assert still.summary["epochs"] == 4


def test_what_is_held_out_chooses_and_the_test_set_scores(
    network: Network, source: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    class Watched(Best):
        def keep(self, model: torch.nn.Module, scores: Scores, epoch: int) -> None:
            seen.append(scores.images)
            super().keep(model, scores, epoch)

    monkeypatch.setattr("convatlas.training.fit.Best", Watched)
    outcome = fit(network, source, dataclasses.replace(RECIPE, epochs=1, holdout=0.25))
    assert set(seen) == {24}  # a quarter of the 96 training pictures
    assert outcome.summary["images"] == len(source.test) == 40
    assert outcome.summary["chosen_on"] == "0.25 of the training set"


def test_a_run_says_on_what_its_epoch_was_chosen(
    network: Network, source: DataSource, tmp_path: Path
) -> None:
    said: list[str] = []
    logs = Logs()
    logs.say = said.append  # type: ignore[assignment,method-assign]
    cases = (
        ("best", 0.0, "chosen on these very pictures"),
        ("best", 0.25, "chosen on 0.25 of"),
        ("last", 0.0, "last"),
    )
    for number, (select, share, words) in enumerate(cases):
        recipe = dataclasses.replace(RECIPE, epochs=1, select=select, holdout=share)
        outcome = fit(network, source, recipe, out=tmp_path / str(number), logs=logs)
        assert words in said[-1]
        assert str(outcome.summary["chosen_on"]) in (tmp_path / str(number) / "report.html").read_text()


def test_metrics_are_json_without_nan(network: Network, source: DataSource, tmp_path: Path) -> None:
    fit(network, source, dataclasses.replace(RECIPE, epochs=1), out=tmp_path)
    line: Mapping[str, object] = json.loads(
        (tmp_path / "metrics.jsonl").read_text(), parse_constant=pytest.fail
    )
    assert line["epoch"] == 1


@pytest.mark.parametrize("bad", [(1,), (1, 2), (3,)])
def test_a_test_loss_that_is_no_number_is_none_and_the_run_ends(
    network: Network, source: DataSource, tmp_path: Path, bad: tuple[int, ...]
) -> None:
    model, evaluations = build(suited(network, source)), [0]

    def overflow(module: torch.nn.Module, _: object, logits: torch.Tensor) -> torch.Tensor | None:
        evaluations[0] += not module.training
        return logits * float("inf") if not module.training and evaluations[0] in bad else None

    model.register_forward_hook(overflow)
    recipe = dataclasses.replace(RECIPE, epochs=2, ema=0.0)
    fit(Start(network, model), source, recipe, out=tmp_path)
    assert evaluations == [3]  # after either epoch, and of the weights that were kept
    summary = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [i for i, loss in enumerate((*losses, summary["loss"]), 1) if loss is None] == list(bad)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<td>–</td>") == len([i for i in bad if i < 3])
    assert ">nan<" not in page
