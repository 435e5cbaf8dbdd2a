"""The Lightning module: its loss, its draws, and that it stops before it writes what is not a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from tests.core.training_parts import Net, Rows, run_training, training
from torch import Tensor, nn

from polyscore import hub
from polyscore.denoisers import Precondition
from polyscore.errors import ConfigError, InputError, PolyscoreError
from polyscore.noise import Recorded
from polyscore.processes import Cosine
from polyscore.state import Given
from polyscore.training import (
    EMA,
    AdamW,
    Batch,
    DropCondition,
    EpsLoss,
    ExportModel,
    Importance,
    MiniBatchOT,
    SamplePreview,
    ScoreTraining,
    as_batch,
)
from polyscore.training.draws import SampleNoise, generator_of
from polyscore.training.ema import Constant
from polyscore.training.module import per_sample


def batch(count: int = 8) -> dict[str, Tensor]:
    rows = Rows(count)
    return {"x0": rows.x0, "cond": rows.cond}


# ---------------------------------------------------------------------------------------------------------------- draws
def test_a_sample_of_a_step_has_its_own_noise_whoever_draws_it() -> None:
    like = torch.zeros(6, 3, 4)
    whole = SampleNoise((0, "noise", 7), range(6))
    first, second = whole(like), whole(like)
    assert not torch.equal(first, second)
    for rank in range(2):
        part = SampleNoise((0, "noise", 7), range(rank, 6, 2))
        assert torch.equal(part(like[:3]), first[rank::2])
        assert torch.equal(part(like[:3]), second[rank::2])
    assert not torch.equal(SampleNoise((0, "noise", 8), range(6))(like), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_the_noise_of_a_step_is_white(dtype: torch.dtype) -> None:
    draws = SampleNoise((1,), range(4000))(torch.zeros(4000, 5, dtype=dtype))
    parts = torch.view_as_real(draws).flatten(1) * 2**0.5 if draws.is_complex() else draws
    cov = (parts.T @ parts / len(parts)).double()
    torch.testing.assert_close(cov, torch.eye(parts.shape[1], dtype=torch.float64), rtol=0, atol=5 / 4000**0.5)
    assert float(parts.mean().abs()) < 5 / parts.numel() ** 0.5


def test_training_leaves_the_global_generator_alone() -> None:
    module, before = training(), torch.random.get_rng_state()
    module.losses(batch(), module.times, "train", 0, 0)
    assert torch.equal(torch.random.get_rng_state(), before)


# ----------------------------------------------------------------------------------------------------------------- loss
def test_the_loss_is_the_objective_at_the_drawn_times_and_noise() -> None:
    module = training(drop=None)
    losses, t = module.losses(batch(), module.times, "train", 3, 1)
    x0, cond = batch()["x0"], batch()["cond"]
    eps = SampleNoise((5, "noise", "train", 3, 1), range(8))(x0)
    entries = EpsLoss()(module.denoiser, module.denoiser.process, x0, t=t, given=Given(cond=cond), noise=Recorded([eps]))
    torch.testing.assert_close(losses, entries.flatten(1).mean(1), rtol=0, atol=0)
    assert t.shape == losses.shape == (8,)


def test_a_mask_says_which_entries_count() -> None:
    loss = torch.arange(24.0).view(2, 3, 4)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    torch.testing.assert_close(per_sample(loss, mask), torch.stack([loss[0, :2].mean(), loss[1, 0].mean()]))
    torch.testing.assert_close(per_sample({"a": loss, "b": 2 * loss}, mask), 3 * per_sample(loss, mask))
    assert per_sample(loss, torch.zeros(2, 3)).tolist() == [0, 0]


def test_stored_noise_is_used_and_a_coupling_pairs_it() -> None:
    module = training(drop=None, coupling=MiniBatchOT())
    eps = torch.randn(8, 1, 2, 2, generator=generator_of(0))
    x0, given = batch()["x0"], as_batch(batch()).given
    losses, t = module.losses(Batch(x0, given, eps), module.times, "train", 0, 0)
    paired = eps[MiniBatchOT()(x0, eps)]
    entries = EpsLoss()(module.denoiser, Cosine(), x0, t=t, given=given, noise=Recorded([paired]))
    torch.testing.assert_close(losses, entries.flatten(1).mean(1), rtol=0, atol=0)


def test_importance_corrects_the_step_and_learns_from_it() -> None:
    density = Importance(intervals=2, history=1, mix=0.5)
    density.losses, density.count = torch.tensor([[1.0], [3.0]], dtype=torch.float64), torch.tensor([1, 1])
    module = training(times=density, drop=None)
    losses, t = module.losses(batch(), density, "train", 0, 0)
    correction = torch.where(t <= 0.5, 1 / (2 * 0.375), 1 / (2 * 0.625))
    step = module.training_step(batch(), 0)
    torch.testing.assert_close(step, (correction * losses).mean().float())
    assert density.count.tolist() == [1 + int((t <= 0.5).sum()), 1 + int((t > 0.5).sum())]


def test_dropping_replaces_the_stated_share_in_all_entries_alike() -> None:
    draws = torch.rand(4000, generator=generator_of(0))
    drop = DropCondition(0.2, 9.0, keys=("a", "b"))
    cond = {"a": torch.zeros(4000, dtype=torch.long), "b": torch.zeros(4000, 2), "c": torch.zeros(4000)}
    out = drop(cond, draws)
    gone = draws < 0.2
    assert abs(float(gone.double().mean()) - 0.2) < 4 * (0.16 / 4000) ** 0.5
    assert torch.equal(out["a"] == 9, gone)
    assert torch.equal((out["b"] == 9).all(1), gone)
    assert not out["c"].any()
    assert out["a"].dtype == torch.long
    with pytest.raises(InputError, match="cond is NoneType"):
        drop(None, draws)
    with pytest.raises(InputError, match="rate 1.5"):
        DropCondition(1.5)


@pytest.mark.parametrize("found", [[torch.zeros(2)], {"image": torch.zeros(2)}, {"x0": torch.zeros(2), "label": torch.zeros(2)}])
def test_other_batches_are_refused(found: Any) -> None:
    with pytest.raises(InputError, match="expected a tensor or a mapping with x0 and any of y, cond, mask, eps"):
        as_batch(found)


def test_a_model_without_a_denoiser_is_refused() -> None:
    with pytest.raises(ConfigError, match="Linear holds no denoiser with a process"):
        ScoreTraining(nn.Linear(2, 2))


# ------------------------------------------------------------------------------------------------------ learning rate
def test_the_learning_rate_follows_its_formula() -> None:
    settings = AdamW(0.1, warmup=4, decay="cosine", floor=0.1, weight_decay=0.5)
    optimiser = settings.build(nn.Linear(3, 2).parameters())
    schedule, seen = settings.schedule(optimiser, 10), []
    for _ in range(11):
        seen.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    n = torch.arange(11.0)
    expected = 0.1 * ((n + 1) / 4).clamp(max=1) * (0.1 + 0.9 * (1 + torch.cos(torch.pi * n / 10)) / 2)
    assert seen == pytest.approx(expected.tolist(), rel=1e-6)
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.5, 0.0]
    assert [[p.ndim for p in group["params"]] for group in optimiser.param_groups] == [[2], [1]]


# ------------------------------------------------------------------------------------------------------------ the run
class Poison(Callback):
    """Makes the weights NaN in the second epoch."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1:
            with torch.no_grad():
                next(pl_module.parameters()).fill_(torch.nan)


def test_a_loss_that_is_no_number_ends_the_run_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(PolyscoreError, match=r"not a finite number in epoch 2; .*clip gradients"):
        run_training(str(tmp_path), training(), Poison(), ExportModel(), epochs=3)
    exported = hub.load(tmp_path / "model", allow=("tests.core.training_parts",))
    assert all(bool(torch.isfinite(p).all()) for p in exported.parameters())


def test_the_export_holds_the_averaged_weights(tmp_path: Path) -> None:
    module, ema = training(), EMA(Constant(0.9))
    run_training(str(tmp_path), module, ema, ExportModel(card="A test."))
    exported = hub.load(tmp_path / "model", allow=("tests.core.training_parts",))
    assert isinstance(exported, Precondition)
    assert isinstance(exported.network, Net)
    # The recursion by hand, over the raw weights after each of the 8 steps.
    again, average = training(), [p.detach().clone() for p in training().model.parameters()]

    class Follow(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
            for mean, weight in zip(average, again.model.parameters(), strict=True):
                mean.mul_(0.9).add_(0.1 * weight.detach())

    run_training(str(tmp_path), again, Follow())
    for found, expected, raw in zip(exported.parameters(), average, again.model.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        assert not torch.allclose(found, raw, atol=1e-3)
    assert (tmp_path / "model" / "card.md").read_text().startswith("A test.")


def test_an_export_of_a_part_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ScoreTraining has no `enhancer`"):
        run_training(str(tmp_path), training(), ExportModel(part="enhancer"), epochs=1)


def test_previews_show_the_samples_of_the_averaged_model(tmp_path: Path) -> None:
    preview = SamplePreview(steps=3, every_n_epochs=2, count=4)
    run_training(str(tmp_path), training(), EMA(Constant(0.5)), preview, epochs=4)
    files = sorted((tmp_path / "previews").iterdir())
    assert [path.name for path in files] == ["epoch-0002.png", "epoch-0004.png"]
    images = pytest.importorskip("PIL.Image")
    sizes = {images.open(path).size for path in files}
    assert sizes == {(2 * 49 + 1, 2 * 49 + 1)}  # 2 x 2 samples of 2 pixels, 24 times as large, with lines between
    assert files[0].read_bytes() != files[1].read_bytes()
