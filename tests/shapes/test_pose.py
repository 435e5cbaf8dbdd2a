"""Poses: packing, exact recovery from an exact denoiser, equivariance, views, training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Prediction
from polyscore.denoisers.precondition import Precondition
from polyscore.errors import InputError
from polyscore.hub import save
from polyscore.lie import so3_exp
from polyscore.processes import Cosine
from polyscore.shapes.data.pose_data import PoseViewsData
from polyscore.shapes.pose import PoseEstimator, PoseNetwork, packed, unpacked
from polyscore.state import Given
from polyscore.training import ScoreTraining, VLoss


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Knows(nn.Module):
    """A denoiser that says one pose, whatever it sees, with a rotation that is no rotation: twice it."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer, self.process = nn.Parameter(answer), Cosine(alpha_min=0.03)
        self.calls = 0

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        self.calls += 1
        return Prediction(self.answer.expand_as(x))


def test_a_state_is_unpacked_to_the_nearest_rotation() -> None:
    R, place, size = so3_exp(draws(5, 3)), draws(5, 3, seed=1), draws(5, 3, seed=2).abs()
    for scale in (1.0, 0.3):
        found = unpacked(packed(scale * R, place, size))
        for one, other in zip(found, (R, place, size), strict=True):
            torch.testing.assert_close(one, other)
    noisy = unpacked(packed(R + 0.1 * draws(5, 3, 3, seed=3), place, size))[0]
    torch.testing.assert_close(noisy @ noisy.mT, torch.eye(3).double().expand(5, 3, 3))


@pytest.mark.parametrize("scale", [1.0, 250.0])
def test_three_calls_give_the_pose_in_the_clouds_own_unit(scale: float) -> None:
    R, place, size = so3_exp(draws(3)), draws(3, seed=1), draws(3, seed=2).abs()
    denoiser, cloud = Knows(packed(2 * R, place, size)), draws(50, 3, seed=3) * scale + 7 * scale
    found = PoseEstimator(denoiser, points=20).estimate(cloud, samples=4)
    unit = (cloud - cloud.mean(0)).norm(dim=-1).max()
    assert denoiser.calls == 3
    torch.testing.assert_close(found.R, R)
    torch.testing.assert_close(found.place, cloud.mean(0) + unit * place)
    torch.testing.assert_close(found.size, unit * size)
    assert found.spread < 1e-4


def test_the_answer_moves_with_the_cloud_and_forgets_the_order_of_its_points() -> None:
    torch.manual_seed(0)
    network = PoseNetwork(16, (8, 16), layers=1)
    model = PoseEstimator(Precondition(network, Cosine(alpha_min=0.03), predicts="v"), points=40).double().eval()
    cloud = draws(40, 3)
    found, moved = model.estimate(cloud, seed=2), model.estimate(3 * cloud + 5, seed=2)
    torch.testing.assert_close(moved.R, found.R)
    torch.testing.assert_close(moved.place, 3 * found.place + 5)
    torch.testing.assert_close(moved.size, 3 * found.size)
    other = model.estimate(cloud.flip(0), seed=2)
    torch.testing.assert_close(other.R, found.R)
    for bad in (torch.zeros(9, 3), torch.full((9, 3), float("nan")), torch.zeros(3, 3)):
        with pytest.raises(InputError, match="points"):
            model.estimate(bad)


def test_views_hold_points_of_the_box_they_name() -> None:
    data = PoseViewsData(["car"], 1, batch_size=4, batches=1, points=200, validation=4)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    R, place, size = unpacked(batch["x0"].double())
    canonical = torch.einsum("bji,bnj->bni", R, batch["cond"].double() - place[:, None]) / size[:, None]
    assert float(canonical.abs().max()) < 0.56  # in the unit box, up to noise
    reach = canonical.abs().amax((0, 1))
    assert bool((reach > 0.45).all())  # and to its sides, in some view
    torch.testing.assert_close(batch["cond"].norm(dim=-1).amax(1), torch.ones(4))
    assert torch.equal(next(iter(data.train_dataloader()))["x0"], batch["x0"])


def test_training_lowers_the_loss_and_the_model_is_saved(tmp_path: Path) -> None:
    from lightning.pytorch import Trainer

    torch.manual_seed(0)
    network = PoseNetwork(32, (16, 32), layers=1)
    model = PoseEstimator(Precondition(network, Cosine(alpha_min=0.03), predicts="v"), points=64)
    module, data = ScoreTraining(model, VLoss()), PoseViewsData(["car"], 2, batch_size=16, batches=30, points=64, validation=32)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", max_epochs=1, enable_checkpointing=False, default_root_dir=tmp_path, **quiet)
    before = trainer.validate(module, data, verbose=False)[0]["val/loss"]
    trainer.fit(module, data)
    assert trainer.validate(module, data, verbose=False)[0]["val/loss"] < 0.8 * before
    loaded, cloud = PoseEstimator.from_pretrained(save(tmp_path / "model", model)), draws(90, 3)
    assert torch.equal(loaded.estimate(cloud).R, model.eval().estimate(cloud).R)
