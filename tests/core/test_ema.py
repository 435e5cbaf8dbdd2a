"""The averages of weights: closed forms of the three profiles and the callback inside a Lightning run."""

import json
import os
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from polyscore.errors import InputError
from polyscore.training.ema import EMA, Constant, Power, Profile, Warmup


class Drift(LightningModule):
    """One weight that SGD moves by exactly -0.1 a step; validation records the weight it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.seen: list[float] = []

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return self.weight.sum()

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self.seen.append(float(self.weight))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _run(profile: Profile, folder: Path, *, steps: int = 6, start_step: int = 0) -> Drift:
    module = Drift()
    data = DataLoader(TensorDataset(torch.zeros(steps, 1)), batch_size=1)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        val_check_interval=1,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder),
        callbacks=[EMA(profile, start_step)],
    )
    trainer.fit(module, data, data)
    return module


def _expected(profile: Profile, steps: int, start_step: int = 0) -> list[float]:
    average, seen = 0.0, []
    for step in range(1, steps + 1):
        weight = -0.1 * step
        share = profile.decay(step - start_step) if step > start_step else 0.0
        average = share * average + (1 - share) * weight
        seen.append(average)
    return seen


@pytest.mark.parametrize("profile", [Constant(0.9), Warmup(0.999), Power(3.0)])
def test_validation_and_final_weights_are_the_recursion(profile: Profile, tmp_path: Path) -> None:
    module = _run(profile, tmp_path)
    expected = _expected(profile, 6)
    assert module.seen == pytest.approx(expected, abs=1e-12)
    assert float(module.weight) == pytest.approx(expected[-1], abs=1e-12)


def test_before_the_start_step_validation_sees_the_raw_weights(tmp_path: Path) -> None:
    module = _run(Constant(0.9), tmp_path, start_step=3)
    assert module.seen[:3] == pytest.approx([-0.1, -0.2, -0.3], abs=1e-12)
    assert module.seen == pytest.approx(_expected(Constant(0.9), 6, 3), abs=1e-12)


def test_power_profile_weights_follow_the_power_law() -> None:
    gamma, steps = 4.0, 4000
    profile, weights = Power(gamma), torch.zeros(steps, dtype=torch.float64)
    for n in range(1, steps + 1):
        weights *= profile.decay(n)
        weights[n - 1] += 1 - profile.decay(n)
    time = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    ideal = time**gamma * (gamma + 1) / steps
    assert (weights - ideal).abs().sum() < 2e-3
    mean = (weights * time).sum()
    width = ((weights * (time - mean) ** 2).sum()).sqrt()
    assert float(width) == pytest.approx(((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))) ** 0.5, rel=1e-3)


def test_power_from_width_gives_the_published_exponents() -> None:
    assert Power.from_width(0.10).gamma == pytest.approx(6.94, abs=0.005)
    assert Power.from_width(0.05).gamma == pytest.approx(16.97, abs=0.005)


def test_wrong_profiles_name_the_value() -> None:
    with pytest.raises(InputError, match=r"Constant.value is 1.0"):
        Constant(1.0)
    with pytest.raises(InputError, match="width is 0.5"):
        Power.from_width(0.5)
    with pytest.raises(InputError, match="start_step is -1"):
        EMA(Constant(), -1)


def test_warmup_equals_torch_ema() -> None:
    root = os.environ.get("POLYSCORE_REFERENCE")
    if not root:
        pytest.skip("POLYSCORE_REFERENCE is not set")
    rule = json.loads((Path(root) / "audio" / "golden" / "ema_rule.json").read_text(encoding="utf-8"))
    weights = torch.tensor(rule["start"], dtype=torch.float64)
    average, ema = weights.clone(), EMA(Warmup(rule["decay"]))
    for n, expected in enumerate(rule["shadow_after_each_update"], start=1):
        weights = weights + torch.tensor(rule["delta"], dtype=torch.float64)
        ema._average([average], [weights], n)
        assert average.tolist() == pytest.approx(expected, abs=1e-6)
