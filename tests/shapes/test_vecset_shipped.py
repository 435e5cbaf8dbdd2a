"""The shipped codes of solids: legs, hollows, kinds, colours and sketches, judged by voxels and by the formulas of the solids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.shapes.data.procedural import Solids, draw, grid_points, names
from polyscore.shapes.data.procedural_clouds import clouds_of
from polyscore.shapes.engines import LevelBody, Request, last
from polyscore.shapes.engines.vecset import VecSetEngine, encoded
from polyscore.shapes.mesh import examine, simplify
from polyscore.shapes.vecset import VecSet
from polyscore.shapes.words import Words

ndimage = pytest.importorskip("scipy.ndimage")
trimesh = pytest.importorskip("trimesh")
pytest.importorskip("skimage")

SIZE = 40


@pytest.fixture(scope="module")
def model() -> VecSet:
    return VecSetEngine().load("vecset-solids")


def voxels(model: VecSet, codes: Tensor, *, size: int = SIZE) -> Tensor:
    """Which voxel centres the body of codes (M, c) holds, (n, n, n), axes z, y, x."""
    return (model.solid(codes).level(grid_points(size).reshape(-1, 3)) > 0).view(size, size, size)


def overlap(one: Tensor, other: Tensor) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("name", ["table", "chair", "mug", "plane"])
def test_a_solid_it_never_saw_comes_back(model: VecSet, name: str) -> None:
    solids = draw(name, 1, seed=700_001)
    cloud = clouds_of(solids, 2048, seed=1)
    codes = model.codes.encode(*cloud)
    noisy = codes + 0.3 * torch.randn(codes.shape, generator=torch.Generator().manual_seed(0))
    surface, normals = cloud.points[0], cloud.normals[0]
    places = torch.cat([surface - 0.02 * normals, surface + 0.02 * normals])  # parts are three times as thick
    true = solids.distance(places, torch.zeros(len(places), dtype=torch.long))
    clear = true.abs() > 0.015
    for z in (codes[0], noisy[0]):
        distance, paints = model.solid(z).read(surface)
        assert float(distance.abs().median()) < 0.004
        assert float((paints.argmax(-1) == cloud.paints[0]).float().mean()) > 0.93
        right = (model.solid(z).level(places) > 0) == (true < 0)
        assert float(right[clear].float().mean()) > 0.97


def test_a_table_stands_on_four_legs_and_a_mug_is_hollow(model: VecSet) -> None:
    table = voxels(model, model.draw("table", seed=1)[0]).numpy()
    rows = np.flatnonzero(table.any((0, 2)))  # heights
    foot = table[:, rows[0] + 3]
    legs, count = ndimage.label(foot)
    assert count == 4 and min(np.bincount(legs.ravel())[1:]) >= 4
    mug = voxels(model, model.draw("mug", seed=1)[0]).numpy()
    rows = np.flatnonzero(mug.any((0, 2)))
    inside = [int((ndimage.binary_fill_holes(mug[:, row]) & ~mug[:, row]).sum()) for row in rows]
    middle = len(rows) // 2
    assert inside[middle] > 0.3 * mug[:, rows[middle]].sum()  # a wall around nothing ...
    above = mug.any(1) & ~mug[:, rows[middle] :].any(1)
    assert above.sum() > 0.8 * inside[middle]  # ... that is open at its top and has a floor


def test_every_kind_is_nearest_to_its_own(model: VecSet) -> None:
    true = {name: draw(name, 3, seed=700_002).occupancy(24) for name in names()}
    for name in names():
        body = voxels(model, model.draw(name, seed=2)[0], size=24)
        best = {other: max(overlap(body, one) for one in some) for other, some in true.items()}
        assert max(best, key=lambda other: best[other]) == name, (name, best)


def test_the_engine_gives_one_closed_body_in_its_colours(model: VecSet) -> None:
    body = last(VecSetEngine().frames(model, Request(Words("mushroom", "blue"), 3))).body
    facts = examine(body.mesh(resolution=64, faces=4000))
    assert facts.watertight and facts.bodies == 1
    top, stem = body.colour(torch.tensor([[0.0, 0.45, 0.0], [0.0, -0.4, 0.0]]))
    assert float(top[2]) > 0.6 > float(top[0])  # a blue cap ...
    assert float(stem[0]) > 0.8  # ... on a light stem


def sketch_of(solids: Solids) -> Any:
    def level(points: Tensor) -> Tensor:
        return -solids.distance(points, torch.zeros(len(points), dtype=torch.long))

    return simplify(LevelBody(level, lambda points: points).mesh(resolution=48), 3000)


def test_a_sketch_is_followed(model: VecSet) -> None:
    solids = draw("table", 1, seed=700_003)
    true, mesh = solids.occupancy(SIZE)[0], sketch_of(solids)
    start = encoded(model.codes, mesh)
    kept = voxels(model, start)
    near, free = (voxels(model, model.draw("table", start=start, strength=s, seed=5)[0]) for s in (0.4, 1.0))
    assert overlap(kept, true) > 0.8
    assert overlap(near, true) > overlap(free, true) + 0.1
