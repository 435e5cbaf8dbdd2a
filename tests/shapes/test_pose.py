"""Poses: packing, exact recovery from an exact denoiser, equivariance, views, training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polyscore.cli.main import main
from polyscore.denoisers import Prediction
from polyscore.denoisers.precondition import Precondition
from polyscore.errors import InputError
from polyscore.hub import save
from polyscore.lie import so3_exp
from polyscore.processes import Cosine
from polyscore.shapes.data.cloud_files import read_cloud
from polyscore.shapes.data.pose_data import PoseViewsData
from polyscore.shapes.metrics import box_overlap, rotation_error
from polyscore.shapes.pose import OwnFrame, PoseEstimator, PoseNetwork, own_frame, packed, unpacked
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
    unit, axes = (cloud - cloud.mean(0)).norm(dim=-1).max(), own_frame(cloud).axes
    assert denoiser.calls == 3
    torch.testing.assert_close(found.R, axes @ R)
    torch.testing.assert_close(found.place, cloud.mean(0) + unit * axes @ place)
    torch.testing.assert_close(found.size, unit * size)
    assert found.spread < 1e-4


def test_a_cloud_has_a_frame_of_its_own() -> None:
    stretch = torch.tensor([1.0, 3.0, 0.3]).double()
    cloud = draws(200, 3).pow(2) * stretch  # skewed to the positive side
    middle, unit, axes = own_frame(cloud)
    seen = OwnFrame(middle, unit, axes).into(cloud)
    torch.testing.assert_close(seen.norm(dim=-1).max(), torch.tensor(1.0).double())
    covariance = seen.mT @ seen
    torch.testing.assert_close(covariance, torch.diag(covariance.diag()), atol=1e-9, rtol=0)
    assert covariance[0, 0] > covariance[1, 1] > covariance[2, 2] and bool((seen[:, :2].pow(3).sum(0) > 0).all())
    assert float(torch.linalg.det(axes)) == pytest.approx(1.0) and axes.abs().argmax(0).tolist() == [1, 0, 2]
    Q = so3_exp(draws(3, seed=1))
    torch.testing.assert_close(own_frame(5 * cloud @ Q.mT + 2).axes, Q @ axes)


def test_the_answer_moves_and_turns_with_the_cloud_and_forgets_the_order_of_its_points() -> None:
    torch.manual_seed(0)
    network = PoseNetwork(16, (8, 16), layers=1)
    model = PoseEstimator(Precondition(network, Cosine(alpha_min=0.03), predicts="v"), points=40).double().eval()
    cloud = draws(40, 3)
    Q = so3_exp(draws(3, seed=4))
    found, moved = model.estimate(cloud, seed=2), model.estimate(3 * cloud @ Q.mT + 5, seed=2)
    torch.testing.assert_close(moved.R, Q @ found.R)
    torch.testing.assert_close(moved.place, 3 * Q @ found.place + 5)
    torch.testing.assert_close(moved.size, 3 * found.size)
    other = model.estimate(cloud.flip(0), seed=2)
    torch.testing.assert_close(other.R, found.R)
    for bad in (torch.zeros(9, 3), torch.full((9, 3), float("nan")), torch.zeros(3, 3)):
        with pytest.raises(InputError, match="points"):
            model.estimate(bad)


def test_the_overlap_of_boxes() -> None:
    eye, zero = torch.eye(3).double()[None], torch.zeros(1, 3).double()
    sides = torch.tensor([[2.0, 1.0, 0.5]]).double()
    R, t = so3_exp(draws(1, 3)), draws(1, 3, seed=1)

    def moved(pose: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        return R @ pose[0], (R @ pose[1][..., None])[..., 0] + t, pose[2]

    box = (eye, zero, sides)
    half = (eye, torch.tensor([[1.0, 0.0, 0.0]]).double(), sides)  # half of each is shared: 1 / 3
    inner = (eye, zero, sides / 2)
    away = (eye, torch.tensor([[0.0, 0.0, 0.6]]).double(), sides)
    turn = so3_exp(torch.tensor([[0.0, 0.0, torch.pi / 2]], dtype=torch.float64))
    quarter = (turn, zero, sides)  # two plates of 2 x 1 that cross share a square of side 1
    for other, overlap in ((box, 1.0), (half, 1 / 3), (inner, 1 / 8), (away, 0.0), (quarter, 1 / 3)):
        torch.testing.assert_close(box_overlap(box, other), torch.tensor([overlap]).double(), atol=1e-6, rtol=0)
        torch.testing.assert_close(box_overlap(moved(box), moved(other)), torch.tensor([overlap]).double(), atol=0.05, rtol=0)
    with pytest.raises(InputError, match="sides"):
        box_overlap(box, (eye, zero, -sides))


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


def test_the_shipped_model_finds_planes_it_never_saw() -> None:
    data = PoseViewsData(["plane"], 6, batch_size=24, batches=1, seed=900_001)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    truth, _, sides = unpacked(batch["x0"].double())
    found = [PoseEstimator.from_pretrained("pose").estimate(cloud, samples=4) for cloud in batch["cond"]]
    errors = rotation_error(truth, torch.stack([pose.R for pose in found]))
    assert float(errors.median()) < 12, errors  # 4.4 over many; a guess has 126
    assert float(((torch.stack([pose.size for pose in found]) - sides).norm(dim=-1) / sides.norm(dim=-1)).median()) < 0.1


def test_the_command_finds_a_pose_and_sets_the_view_upright(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    network = PoseNetwork(16, (8, 16), layers=1)
    model = PoseEstimator(Precondition(network, Cosine(alpha_min=0.03), predicts="v"), points=40)
    place, cloud = str(save(tmp_path / "model", model)), draws(60, 3, seed=5).float()
    np.save(tmp_path / "view.npy", cloud.numpy())
    run = ["pose", str(tmp_path / "view.npy"), "--model", place, "-o", str(tmp_path / "out"), "--samples", "3"]
    assert main([*run, "--quiet"]) == 0
    found = PoseEstimator.from_pretrained(place).estimate(cloud, samples=3)
    matrix = np.loadtxt(tmp_path / "out" / "pose.txt")
    assert np.allclose(matrix[:3, :3], found.R, atol=1e-5) and np.allclose(matrix[:3, 3], found.place, atol=1e-5)
    upright = read_cloud(tmp_path / "out" / "aligned.ply").points
    assert np.allclose(upright @ matrix[:3, :3].T + matrix[:3, 3], cloud, atol=1e-5)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["nfe"] == 9 and report["items"][0]["size"] == pytest.approx(found.size.tolist(), abs=1e-5)
    assert (tmp_path / "out" / "overlay.png").is_file()
    capsys.readouterr()
    assert main([*run[:3], "registration", *run[4:]]) == 1
    assert "expected a model of poses" in capsys.readouterr().err
