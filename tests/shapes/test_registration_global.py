"""Global registration: invariance of the network, the pipeline on exact matches, training, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polyscore.cli.main import main
from polyscore.errors import ConfigError, InputError
from polyscore.hub import save, shipped
from polyscore.lie import inverse, motion, nearest_rotation, se3_exp, transform
from polyscore.processes import Cosine, Rigid
from polyscore.shapes import GlobalRegistration, MatchingNetwork, Registration, RegistrationNetwork
from polyscore.shapes.alignment import ICP
from polyscore.shapes.data.cloud_files import write_cloud
from polyscore.shapes.data.registration_data import PairsData, synthetic_pair
from polyscore.shapes.frames import Frame
from polyscore.shapes.global_registration import MatchedMotion
from polyscore.shapes.metrics import rotation_error
from polyscore.shapes.registration import Clouds, published_process
from polyscore.shapes.registration_training import MatchLoss, PointLoss, RegistrationTraining
from polyscore.state import Given


class Exact(nn.Module):
    """Matches the points of one cloud with themselves, by the sorted distances to all others."""

    source_anchors = target_anchors = 64

    def __init__(self) -> None:
        super().__init__()
        self.unit = nn.Parameter(torch.ones((), dtype=torch.float64))

    def embed(self, source: Tensor, _n: Tensor, target: Tensor, _m: Tensor) -> tuple[Tensor, Tensor]:
        f, g = (torch.cdist(part, part).sort(-1).values for part in (source, target))
        return f, g

    def logits(self, moved: Tensor, target: Tensor, f: Tensor, g: Tensor, t: Tensor) -> Tensor:
        return -1e4 * torch.cdist(f, g)


def small() -> MatchingNetwork:
    torch.manual_seed(0)
    return MatchingNetwork(16, 2, 2, neighbours=6, source_anchors=20, target_anchors=24)


def pose(seed: int, turn: float = 1.0) -> Tensor:
    w = torch.randn(6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return se3_exp(torch.cat([turn * w[:3], w[3:]]))


def clouds(seed: int = 0) -> Clouds:
    draw = torch.Generator().manual_seed(seed)
    parts = [torch.randn(2, n, 3, generator=draw, dtype=torch.float64) for n in (40, 40, 50, 50)]
    parts[1], parts[3] = (nn.functional.normalize(part, dim=-1) for part in (parts[1], parts[3]))
    return Clouds(*parts)


def test_features_do_not_change_under_motions_of_either_cloud() -> None:
    network, c, H, K = small().double(), clouds(), pose(1, 2.0), pose(2, 2.0)
    f, g = network.embed(c.source, c.source_normals, c.target, c.target_normals)
    moved = (transform(H, c.source), c.source_normals @ H[:3, :3].T, transform(K, c.target), c.target_normals @ K[:3, :3].T)
    for one, other in zip(network.embed(*moved), (f, g), strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=0)
    assert float((f[0, 0] - f[0, 1]).norm()) > 1e-3


def test_the_order_of_the_points_is_the_order_of_the_features() -> None:
    network, c = small().double(), clouds()
    order = torch.cat([torch.randperm(20), torch.arange(20, 40)])
    f, g = network.embed(c.source, c.source_normals, c.target, c.target_normals)
    h, k = network.embed(c.source[:, order], c.source_normals[:, order], c.target, c.target_normals)
    torch.testing.assert_close(h, f[:, order[:20]], atol=1e-8, rtol=0)
    torch.testing.assert_close(k, g, atol=1e-8, rtol=0)


def test_logits_fall_with_the_square_of_the_distance() -> None:
    network, c = small().double(), clouds()
    x, y, t = c.source[:, :20], c.target[:, :24], torch.tensor([0.2, 0.9])
    f, g = network.embed(c.source, c.source_normals, c.target, c.target_normals)
    flat = network.logits(x, x[:, :1].expand_as(y), f, 0 * g, t)
    square = (x - x[:, :1]).square().sum(-1)
    factor = flat[..., 0] / square.clamp(min=1e-12)
    torch.testing.assert_close(factor[:, 1:], factor[:, 1:2].expand(-1, 19), atol=1e-9, rtol=1e-6)
    assert bool((factor[:, 1] < 0).all()) and float(factor[0, 1]) != float(factor[1, 1])


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_exact_matches_give_the_exact_pose_in_any_unit(scale: float) -> None:
    draw = torch.Generator().manual_seed(3)
    target = torch.randn(64, 3, generator=draw, dtype=torch.float64) * torch.tensor([3.0, 2.0, 1.0]).double() * scale
    truth = pose(3, 1.5)
    truth[:3, 3] *= 20 * scale
    model = GlobalRegistration(Exact(), source_points=64, target_points=64)  # type: ignore[arg-type]
    found = model.register(transform(inverse(truth), target).flip(0), target, samples=3, seed=4)
    torch.testing.assert_close(found.pose[:3, :3], truth[:3, :3], atol=1e-6, rtol=0)
    torch.testing.assert_close(found.pose[:3, 3], truth[:3, 3], atol=1e-5 * scale, rtol=1e-6)
    assert found.confidence == 1.0 and found.residual < 1e-5 * scale and found.poses.shape == (3, 4, 4)


def test_frames_go_out_the_way_they_came_in() -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randn(30, 3, generator=draw, dtype=torch.float64) * 5 + 3 for _ in range(2))
    frame, H = Frame.of(x, y, 2.0), pose(5)
    torch.testing.assert_close(frame.outward(frame.inward(H)), H)
    inside = transform(frame.inward(H), (x - frame.source) / frame.unit)
    torch.testing.assert_close(inside * frame.unit + frame.target, transform(H, x))


def test_starts_are_uniform_and_of_their_seed_alone() -> None:
    model, c = GlobalRegistration(small().double(), Rigid(Cosine())).eval(), clouds()
    one = Clouds(*(part[:1] for part in (c.source, c.source_normals, c.target, c.target_normals)))
    with torch.no_grad():
        many, few = model.run(one, 5, noise=7), model.run(one, 2, noise=8)
    torch.testing.assert_close(few, many[1:3], atol=1e-9, rtol=0)
    assert torch.allclose(torch.det(many[:, :3, :3]), torch.ones(5).double())


def test_training_lowers_the_loss_and_exports_the_model(tmp_path: Path) -> None:
    from lightning.pytorch import Trainer

    torch.manual_seed(0)
    model = GlobalRegistration(MatchingNetwork(32, 2, 1, neighbours=8, source_anchors=32, target_anchors=40))
    module = RegistrationTraining(model)
    data = PairsData(4, 6, validation=4, source_points=128, target_points=160)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = Trainer(accelerator="cpu", max_epochs=1, default_root_dir=tmp_path, **quiet)  # type: ignore[arg-type]
    before = trainer.validate(module, data, verbose=False)[0]
    trainer.fit(module, data)
    after = trainer.validate(module, data, verbose=False)[0]
    assert after["val/loss"] < before["val/loss"] - 0.01 and 0 <= after["val/rotation"] <= 180
    loaded = GlobalRegistration.from_pretrained(save(tmp_path / "model", model))
    assert loaded.process == model.process and loaded.polish == ICP()


def test_the_point_loss_is_zero_for_the_right_motion_and_its_size_otherwise() -> None:
    c, x0 = clouds(), torch.stack([pose(1), pose(2)])

    class Fixed:
        def __init__(self, answer: Tensor) -> None:
            self.answer = answer

        def __call__(self, x: Tensor, t: object, given: Given) -> MatchedMotion:
            from polyscore.denoisers import Prediction

            return Prediction(self.answer)  # type: ignore[return-value]

    loss, t = PointLoss(), torch.tensor([0.3, 0.8]).double()
    assert float(loss(Fixed(x0), published_process(), x0, t=t, given=Given(cond=c)).abs().max()) < 1e-12
    shift = x0.clone()
    shift[:, 0, 3] += 0.5
    found = loss(Fixed(shift), published_process(), x0, t=t, given=Given(cond=c))
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, 0.0]).double().expand_as(found))


def test_a_perfect_matcher_has_the_entropy_of_the_labels_as_loss() -> None:
    c, x0 = clouds(), torch.stack([motion(nearest_rotation(torch.randn(3, 3).double()), torch.zeros(3).double())] * 2)

    class Knows(Exact):
        source_anchors, target_anchors = 20, 24

        def embed(self, source: Tensor, _n: Tensor, target: Tensor, _m: Tensor) -> tuple[Tensor, Tensor]:
            return transform(x0, source[:, :20]), target[:, :24]

        def logits(self, moved: Tensor, target: Tensor, f: Tensor, g: Tensor, t: Tensor) -> Tensor:
            return -0.5 * torch.cdist(f, g).square() / 0.5**2

    denoiser = MatchedMotion(Knows(), Rigid(Cosine()))  # type: ignore[arg-type]
    given = Given(y=torch.eye(4).double().expand(2, 4, 4), cond=c)
    found = MatchLoss(0.5)(denoiser, denoiser.process, x0, t=torch.tensor([0.2, 0.7]).double(), given=given)
    label = (-0.5 * torch.cdist(transform(x0, c.source[:, :20]), c.target[:, :24]).square() / 0.25).softmax(-1)
    torch.testing.assert_close(found, torch.special.entr(label).sum(-1))


def test_settings_that_cannot_be() -> None:
    with pytest.raises(InputError, match="times"):
        GlobalRegistration(small(), times=(1.0, 0.5))
    with pytest.raises(InputError, match="multiple of heads"):
        MatchingNetwork(10, 4)
    published = Registration(RegistrationNetwork(16, 2, 32), published_process())
    with pytest.raises(ConfigError, match="MatchLoss for a Registration"):
        RegistrationTraining(published, MatchLoss())
    assert isinstance(RegistrationTraining(published).objective, PointLoss)


def test_the_command_writes_a_pose_a_cloud_a_picture_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(tmp_path / "model", GlobalRegistration(small(), source_points=40, target_points=60, dense=200))
    pair = synthetic_pair(1, source_points=150, target_points=200)
    write_cloud(tmp_path / "a.ply", pair.source, normals=pair.source_normals)
    np.savetxt(tmp_path / "b.xyz", pair.target.numpy())
    words = [str(tmp_path / "a.ply"), str(tmp_path / "b.xyz"), "-o", str(tmp_path / "out"), "--model", str(model)]
    words += ["--samples", "2"]
    assert main(["register", *words]) == 0
    text = capsys.readouterr().out
    assert "a.ply: 150 points, with normals" in text and "b.xyz: 200 points, no normals: estimated" in text
    matrix = np.loadtxt(tmp_path / "out" / "pose.txt")
    facts = json.loads((tmp_path / "out" / "pose.json").read_text())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert np.allclose(matrix, facts["matrix"], atol=1e-6) and len(facts["samples"]) == 2
    assert report["nfe"] == 6 and report["items"][0]["normals_estimated"] == {"source": False, "target": True}
    from polyscore.shapes.data.cloud_files import read_cloud

    moved = read_cloud(tmp_path / "out" / "aligned.ply")
    assert np.allclose(moved.points, pair.source.numpy() @ matrix[:3, :3].T + matrix[:3, 3], atol=1e-4)
    assert (tmp_path / "out" / "overlay.png").stat().st_size > 1000
    np.save(tmp_path / "bad.npy", np.full((9, 3), np.nan))
    assert main(["register", str(tmp_path / "bad.npy"), words[1], *words[2:]]) == 2
    assert "9 of 9 points are not finite" in capsys.readouterr().err


@pytest.mark.skipif("registration" not in [model.name for model in shipped()], reason="the model is not in this tree")
def test_the_shipped_model_registers_views_of_solids_it_never_saw() -> None:
    model, errors = GlobalRegistration.from_pretrained("registration"), []
    for seed in range(5):
        pair = synthetic_pair((1 << 41) + seed, noise=(0.005, 0.005))
        found = model.register(pair.source, pair.target, normals=(pair.source_normals, pair.target_normals), samples=4)
        errors.append(float(rotation_error(found.pose[:3, :3], pair.pose[:3, :3].double())))
    assert sorted(errors)[2] < 3.0
