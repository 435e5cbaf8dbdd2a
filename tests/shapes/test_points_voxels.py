"""Voxels and points, and the point-voxel network: closed forms, invariances, the published size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from polyscore.denoisers.precondition import Precondition
from polyscore.errors import InputError
from polyscore.hub import save
from polyscore.processes import BetaTable, linear_betas
from polyscore.shapes.networks.pvcnn import PVCNN2, Level
from polyscore.shapes.ops.voxels import ball_around, devoxelise, interpolate, voxel_coordinates, voxelise
from polyscore.shapes.point_voxel import PointVoxelGenerator, warm_betas
from polyscore.state import Given

SMALL = (
    Level((8, 1, 4), 12, 0.6, 4, (8, 16), (16, 8), (8, 1, 4)),
    Level((16, 1, 4), 5, 1.2, 4, (16, 16), (16, 16), (16, 1, 4), attention=True),
)


def points(n: int = 30, seed: int = 0) -> torch.Tensor:
    return torch.randn(2, n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_voxel_holds_the_mean_of_its_points() -> None:
    place = torch.tensor([[[0.0, 1.0, 2.0], [0.2, 1.4, 1.6], [3.0, 3.0, 3.0]]]).double()
    grid = voxelise(torch.tensor([[[1.0, 3.0, 5.0]]]).double(), place, 4)
    assert float(grid[0, 0, 0, 1, 2]) == 2.0 and float(grid[0, 0, 3, 3, 3]) == 5.0 and float(grid.sum()) == 7.0


def test_interpolation_in_a_grid_is_exact_for_what_is_linear_in_each_axis() -> None:
    x, y, z = torch.meshgrid(*[torch.arange(5.0).double()] * 3, indexing="ij")
    grid = (x - 2 * y + 0.5 * z + 0.1 * x * y * z)[None, None]
    place = 4 * torch.rand(1, 40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b, c = place.unbind(-1)
    torch.testing.assert_close(devoxelise(grid, place)[:, 0], a - 2 * b + 0.5 * c + 0.1 * a * b * c)


def test_places_are_in_the_ball_and_do_not_change_with_scale_and_shift() -> None:
    x = points()
    place = voxel_coordinates(x, 8)
    torch.testing.assert_close(voxel_coordinates(5 * x + 3, 8), place)
    assert float(place.min()) >= 0 and float(place.max()) <= 7
    off = place / 8 - 0.5
    free = (place > 0).all(-1) & (place < 7).all(-1)
    assert float(off[free].norm(dim=-1).max()) <= 0.5 + 1e-9


def test_three_neighbours_give_a_point_its_own_feature_and_constants_stay() -> None:
    x = points(12)
    f = torch.randn(2, 4, 12, dtype=torch.float64)
    torch.testing.assert_close(interpolate(f, x, x), f, atol=1e-6, rtol=0)
    torch.testing.assert_close(interpolate(torch.ones_like(f), x, points(7, 1)), torch.ones(2, 4, 7).double())


def test_balls_hold_the_first_points_within_reach() -> None:
    x = torch.tensor([[[0.0, 0, 0], [3.0, 0, 0], [0.5, 0, 0], [0.2, 0, 0]]])
    centres = torch.tensor([[[0.1, 0.0, 0.0], [9.0, 0.0, 0.0]]])
    assert ball_around(x, centres, 2, 1.0).tolist() == [[[0, 2], [1, 1]]]
    assert ball_around(x, centres, 6, 1.0).tolist()[0][0] == [0, 2, 3, 0, 0, 0]


def test_the_network_has_the_published_size() -> None:
    with torch.device("meta"):
        network = PVCNN2()
    assert sum(p.numel() for p in network.parameters()) == 27_649_987
    assert sum(p.numel() for p in network.middle.parameters()) == 1_051_648


def test_the_network_moves_with_the_order_of_the_points_and_hears_time_and_label() -> None:
    torch.manual_seed(0)
    network = PVCNN2(SMALL, 8, classes=3).double().eval()
    x, t = points(), torch.tensor([3.0, 700.0]).double()
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(29)])  # farthest points begin with the first
    with torch.no_grad():
        out = network(x, t, Given(cond=torch.tensor([0, 1])))
        other = network(x, t, Given(cond=torch.tensor([2, 1])))
        later = network(x, t + 100, Given(cond=torch.tensor([0, 1])))
    assert not torch.allclose(out[0], other[0], atol=1e-4) and torch.allclose(out[1], other[1])
    assert not torch.allclose(out, later, atol=1e-4)
    # balls keep the first k in the order of the cloud, so only uncut ones are exactly equivariant
    wide = PVCNN2([Level((8, 1, 4), 12, 9.0, 30, (8, 16), (16, 8), (8, 1, 4))], 8).double().eval()
    with torch.no_grad():
        torch.testing.assert_close(wide(x[:, order], t), wide(x, t)[:, order])
    with pytest.raises(InputError, match="12 or more"):
        network(points(9), t)
    with pytest.raises(InputError, match="multiples of 8"):
        PVCNN2([SMALL[0], Level(None, 4, 1.0, 4, (10,), (8,), (8, 1, 4))], 8)


def test_the_generator_is_saved_and_draws_by_label(tmp_path: Path) -> None:
    torch.manual_seed(0)
    denoiser = Precondition(PVCNN2(SMALL, 8, classes=3), BetaTable(linear_betas(20)), time="index", steps=20)
    model = PointVoxelGenerator(denoiser, classes=3).eval()
    loaded = PointVoxelGenerator.from_pretrained(save(tmp_path / "model", model))
    first = model.sample(2, 15, label=1, steps=3, seed=4)
    assert torch.equal(loaded.sample(2, 15, label=1, steps=3, seed=4), first)
    torch.testing.assert_close(model.sample(1, 15, label=1, steps=3, seed=5)[0], first[1], atol=1e-5, rtol=0)
    assert not torch.allclose(model.sample(2, 15, label=2, steps=3, guidance=2.0, seed=4), first, atol=1e-3)
    with pytest.raises(InputError, match="a label below 3"):
        model.sample(1, label=3)


def test_warm_betas_rise_and_stay() -> None:
    betas = warm_betas(1000, rise=0.1)
    assert len(betas) == 1000 and betas[0] == pytest.approx(1e-4) and set(betas[99:]) == {0.02}
    assert betas[:100] == pytest.approx(linear_betas(100, 1e-4, 0.02))
