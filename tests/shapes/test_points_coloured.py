"""Coloured clouds in two stages, and the training of clouds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polyscore.cli.main import main
from polyscore.denoisers import Precondition
from polyscore.errors import ConfigError, InputError
from polyscore.hub import save
from polyscore.processes import BetaTable, Cosine, linear_betas
from polyscore.samplers import DDIM
from polyscore.shapes import ColouredPoints, PointEncoder, PointGenerator, PointSetNetwork, PointwiseNet
from polyscore.shapes.coloured_points import second_moments
from polyscore.shapes.data.cloud_files import read_cloud
from polyscore.shapes.data.clouds_data import CloudsData
from polyscore.shapes.metrics import chamfer
from polyscore.shapes.networks.pvcnn import PVCNN2, Level
from polyscore.shapes.point_voxel import PointVoxelGenerator
from polyscore.shapes.points_training import ColouredPointsTraining, PointTraining
from polyscore.training import Uniform
from polyscore.variety import gaussian, vendi


def small() -> ColouredPoints:
    torch.manual_seed(0)
    network = PointSetNetwork((12, 8), 16, heads=2, blocks=2, latents=6)
    nn.init.normal_(network.out.weight, std=0.2)  # it starts at zero
    return ColouredPoints(network, Cosine(alpha_min=0.05)).eval()


LABELS = torch.tensor([[0, 3], [5, 1]])


class Gaussian(nn.Module):
    """Exact v of places N(m, 1) (m by the first label, 1/2 of it) and of colours that are tanh of the place."""

    labels = (12, 8)

    def __init__(self) -> None:
        super().__init__()
        self.unit = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, xyz: Tensor, rgb: Tensor, t_xyz: Tensor, t_rgb: Tensor, labels: Tensor) -> Tensor:
        process = Cosine(alpha_min=0.05)

        def v(x: Tensor, t: Tensor, x0: Tensor) -> Tensor:
            a, _, s = (c.view(-1, 1, 1) for c in process.coefs(t))
            return a * (x - a * x0) / s.clamp(min=1e-9) - s * x0

        a, _, s = (c.view(-1, 1, 1) for c in process.coefs(t_xyz))
        mean = labels[:, :1, None].double() / 2
        return torch.cat([v(xyz, t_xyz, mean + a * (xyz - a * mean)), v(rgb, t_rgb, xyz.tanh())], -1)


def test_stages_draw_the_shape_and_then_its_colours() -> None:
    model = ColouredPoints(Gaussian(), Cosine(alpha_min=0.05), scale=0.5)  # type: ignore[arg-type]
    cloud = model.sample(LABELS, 4000, steps=60, guidance=1.0, seed=1)
    torch.testing.assert_close(cloud.xyz.mean((1, 2)), torch.tensor([0.0, 1.25]).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(cloud.xyz.flatten(1).std(1), torch.full((2,), 0.5).double(), atol=0.04, rtol=0)
    torch.testing.assert_close(cloud.rgb, ((cloud.xyz / 0.5).tanh() + 1) / 2, atol=1e-6, rtol=0)
    again = model.paint(cloud.xyz, LABELS, steps=10, guidance=1.0)
    torch.testing.assert_close(again, cloud.rgb, atol=1e-5, rtol=0)


def test_guidance_pushes_away_from_what_is_not_said() -> None:
    model = ColouredPoints(Gaussian(), Cosine(alpha_min=0.05), scale=1.0)  # type: ignore[arg-type]
    plain, guided = (model.sample(LABELS[1:], 500, steps=20, guidance=g, sampler=DDIM(0.0)).xyz.mean() for g in (1.0, 2.0))
    # the mean of "not said" (label 12) is 6: 2.5 + (2 - 1)(2.5 - 6)
    assert float(plain) == pytest.approx(2.5, abs=0.2) and float(guided) == pytest.approx(-1.0, abs=0.6)


def test_a_cloud_is_of_its_seed_and_its_points_are_a_set() -> None:
    model = small()
    both, one = model.sample(LABELS, 20, steps=3, seed=5), model.sample(LABELS[1:], 20, steps=3, seed=6)
    torch.testing.assert_close(both.xyz[1], one.xyz[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(both.rgb[1], one.rgb[0], atol=1e-5, rtol=0)
    network, order = model.network.double(), torch.randperm(20)
    x, c = torch.randn(2, 20, 3).double(), torch.randn(2, 20, 3).double()
    t = torch.rand(2, 2).double()
    with torch.no_grad():
        torch.testing.assert_close(network(x[:, order], c[:, order], *t, LABELS), network(x, c, *t, LABELS)[:, order])


def test_clouds_that_keep_apart_are_more_different_and_still_of_their_kind() -> None:
    model = ColouredPoints.from_pretrained("points")
    labels = torch.tensor([[0, 0]]).expand(6, -1)  # chairs
    words: dict[str, Any] = {"points": 192, "steps": 16, "seed": 3}
    plain, apart = (model.sample(labels, **words, diverse=strength).xyz / model.scale for strength in (0.0, 10.0))
    before, after = (float(vendi(gaussian(second_moments(clouds), 0.05))) for clouds in (plain, apart))
    assert after > 1.1 * before, (before, after)  # of at most 6
    means = [second_moments(clouds).mean(0) for clouds in (plain, apart)]
    assert float((means[0] - means[1]).norm()) < 0.05 * float(means[0].norm())
    with pytest.raises(InputError, match="diverse -1"):
        model.sample(labels, diverse=-1.0)


def test_a_sketch_of_strength_0_is_kept_and_one_of_strength_1_is_forgotten() -> None:
    model = small()
    model.process = Cosine(alpha_min=0.0)  # a(1) = 0: nothing of the sketch is left at t = 1
    sketch = 0.2 * torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(0))
    run: dict[str, Any] = {"steps": 4, "seed": 3}
    kept, new = (model.follow(sketch, LABELS, strength=strength, **run) for strength in (0.0, 1.0))
    torch.testing.assert_close(kept.xyz, sketch)
    torch.testing.assert_close(kept.rgb, model.paint(sketch, LABELS, **run))
    plain = model.sample(LABELS, 20, **run)
    torch.testing.assert_close(new.xyz, plain.xyz, atol=1e-6, rtol=0)
    torch.testing.assert_close(new.rgb, plain.rgb, atol=1e-6, rtol=0)
    one = model.follow(sketch[1:], LABELS[1:], strength=0.5, steps=4, seed=4)
    torch.testing.assert_close(one.xyz[0], model.follow(sketch, LABELS, strength=0.5, **run).xyz[1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("strength", [0.3, 0.7])
def test_a_sketch_is_drawn_towards_what_the_words_mean(strength: float) -> None:
    model = ColouredPoints(Gaussian(), Cosine(alpha_min=0.05), scale=1.0)  # type: ignore[arg-type]
    sketch = torch.full((1, 4000, 3), -1.0, dtype=torch.float64)
    found = model.follow(sketch, LABELS[1:], strength=strength, steps=60, guidance=1.0).xyz
    # x_s = a x + s eps and x_0 | x_s ~ N(m + a (x_s - a m), s^2), so the law is N(m + a^2 (x - m), s^2 (1 + a^2)); m = 2.5
    a, _, s = model.process.coefs_of(strength)
    assert float(found.mean()) == pytest.approx(2.5 - 3.5 * float(a) ** 2, abs=0.03)
    assert float(found.std()) == pytest.approx(float(s) * (1 + float(a) ** 2) ** 0.5, abs=0.05)


def test_the_distance_from_a_sketch_grows_with_the_strength() -> None:
    model = ColouredPoints.from_pretrained("points")
    plate = torch.rand(1, 256, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    plate[..., 1] *= 0.1  # and the words say chair
    far = [float(chamfer(model.follow(plate, LABELS[:1], strength=s, steps=12).xyz, plate)) for s in (0.2, 0.5, 1.0)]
    assert 0 < far[0] < far[1] < far[2], far


def test_what_cannot_be_drawn() -> None:
    model = small()
    for labels in (torch.tensor([[13, 0]]), torch.tensor([0, 0]), torch.zeros(1, 2)):
        with pytest.raises(InputError, match="labels"):
            model.sample(labels)
    with pytest.raises(InputError, match="paint"):
        model.paint(torch.zeros(3, 9, 3), LABELS)
    with pytest.raises(InputError, match="strength 1.5"):
        model.follow(torch.zeros(2, 9, 3), LABELS, strength=1.5)
    with pytest.raises(InputError, match="not finite"):
        model.follow(torch.full((2, 9, 3), float("nan")), LABELS)
    with pytest.raises(ConfigError, match="a PointGenerator"):
        PointTraining(model)  # type: ignore[arg-type]


def test_the_loss_of_the_exact_network_is_that_of_the_noise_left() -> None:
    model = ColouredPoints(Gaussian(), Cosine(alpha_min=0.05), scale=1.0)  # type: ignore[arg-type]
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(16, 600, 3, generator=draw, dtype=torch.float64)
    batch = {"x0": x, "cond": {"rgb": (x.tanh() + 1) / 2, "labels": torch.zeros(16, 2, dtype=torch.long)}}
    colour = ColouredPointsTraining(model, colour=1.0, forget=0.0).losses(batch, Uniform(), "a")[0]
    assert float(colour.max()) < 1e-9  # colour is a function of the place, and the place is known
    shape = ColouredPointsTraining(model, colour=0.0, forget=0.0).losses(batch, Uniform(), "a")[0]
    torch.testing.assert_close(shape, torch.ones(16).double(), atol=0.12, rtol=0)  # |v - E v|^2 = 1 of unit Gaussian data


def test_training_a_code_has_the_terms_of_the_bound() -> None:
    torch.manual_seed(0)
    model = PointGenerator(PointwiseNet(8), PointEncoder(8)).eval()
    x = torch.randn(4, 30, 3)
    plain = PointTraining(model, kl=0.0).losses({"x0": x}, Uniform(), "a")
    full = PointTraining(model, kl=1.0).losses({"x0": x}, Uniform(), "a")
    mean, log_variance = model.encoder(x)
    kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(-1)  # its expectation; one draw scatters around it
    assert bool(((full[0] - plain[0] - kl).abs() < 25).all()) and float((full[0] - plain[0] - kl).detach().mean().abs()) < 8
    nodes = plain[1] * 100
    torch.testing.assert_close(nodes, nodes.round(), atol=1e-9, rtol=0)


def test_data_of_kinds_with_labels() -> None:
    data = CloudsData("procedural", ["mug", "car"], batch_size=2, points=40, count=2, scale="bbox")
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    assert batch["cond"].tolist() == [0, 0] and float(batch["x0"].abs().max()) == pytest.approx(1.0)
    with pytest.raises(InputError, match="of no kind"):
        CloudsData("procedural")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    model = str(save(tmp_path / "model", small()))
    return ["points", "a red chair", "--points", "30", "--steps", "2", "--quiet", "--model", model]


def test_the_command_draws_and_paints(tmp_path: Path, words: list[str]) -> None:
    assert main([*words, "-n", "2", "-o", str(tmp_path / "out"), "--seed", "4"]) == 0
    with np.load(tmp_path / "out" / "clouds.npz") as content:
        xyz, rgb, seeds = content["xyz"], content["rgb"], content["seeds"]
    assert seeds.tolist() == [4, 5] and xyz.shape == (2, 30, 3)
    first = read_cloud(tmp_path / "out" / "cloud-0.ply")
    assert np.allclose(first.points, xyz[0]) and np.allclose(first.colours, rgb[0], atol=1 / 255)  # type: ignore[arg-type]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["nfe"] == 8 and [item["seed"] for item in report["items"]] == [4, 5]
    paint = ["--paint", str(tmp_path / "out" / "cloud-0.ply"), "-n", "2", "-o", str(tmp_path / "painted")]
    assert main([*words, *paint, "--no-pictures"]) == 0
    painted = read_cloud(tmp_path / "painted" / "cloud-1.ply")
    assert np.allclose(painted.points, first.points, atol=1e-5)


def test_the_command_draws_over_a_sketch_where_it_stands(tmp_path: Path, words: list[str]) -> None:
    sparse = np.random.default_rng(0).uniform(5.0, 9.0, (20, 3)).astype(np.float32)  # fewer points than are asked for
    np.save(tmp_path / "sketch.npy", sparse)
    run = [*words, "--sketch", str(tmp_path / "sketch.npy"), "--no-pictures", "-n", "2"]
    assert main([*run, "--strength", "0", "-o", str(tmp_path / "kept")]) == 0
    kept = read_cloud(tmp_path / "kept" / "cloud-1.ply").points
    assert kept.shape == (30, 3)
    assert np.abs(kept[:, None] - sparse).max(-1).min(1).max() < 1e-5 and len(np.unique(kept.round(4), axis=0)) == 20
    assert main([*run, "--strength", "0.4", "-o", str(tmp_path / "new")]) == 0
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert report["nfe"] == 6  # of two steps one is below 0.4 and one begins there: one for the shape, two for the colour
    assert all(item["sketch_chamfer"] > 0 for item in report["items"])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["a red dragn"], "dragn"),
        (["a chair", "--strength", "0.5"], "together with --sketch"),
        (["a chair", "--sketch", "{file}", "--strength", "2"], "expected 0 to 1"),
        (["a chair", "--sketch", "none.ply"], "no such file"),
        (["a chair", "--paint", "{one}"], "all points are one"),
        (["a chair", "--paint", "{file}", "--diverse", "3"], "--diverse is for shapes"),
        (["a chair", "--sketch", "{nan}"], "not finite"),
        ([], "no words"),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str], extra: list[str], message: str
) -> None:
    content = {"file": np.eye(3), "one": np.ones((9, 3)), "nan": np.full((9, 3), np.nan)}
    for name, table in content.items():
        np.save(tmp_path / f"{name}.npy", table)
    places = {name: str(tmp_path / f"{name}.npy") for name in content}
    given = [part.format(**places) for part in extra]
    assert main([words[0], *given, *words[2:], "-o", str(tmp_path / "no")]) == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "no").glob("*.ply"))


def test_models_without_words_are_drawn_and_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    level = Level((8, 1, 4), 12, 0.6, 4, (8, 16), (16, 8), (8, 1, 4))
    pvd = PointVoxelGenerator(Precondition(PVCNN2([level], 8), BetaTable(linear_betas(20)), time="index", steps=20))
    dpm = PointGenerator(PointwiseNet(4), PointEncoder(4))
    for name, model in (("pvd", pvd), ("dpm", dpm)):
        place, out = str(save(tmp_path / name, model.eval())), str(tmp_path / f"{name}-out")
        run = ["points", "--model", place, "-o", out, "--no-pictures"]
        assert main([*run, "-n", "2", "--points", "16", "--steps", "3"]) == 0
        report = json.loads((tmp_path / f"{name}-out" / "report.json").read_text())
        assert report["nfe"] == 3 and report["metrics"] == {"clouds": 2, "points": 16}
        capsys.readouterr()
        for extra in (["a chair"], ["--guidance", "2"], ["--diverse", "1"]):
            assert main([run[0], *extra, *run[1:]]) == 2
            assert f"knows no words; leave out {extra[0]}" in capsys.readouterr().err
