"""Every configuration of clouds and pose trains two steps on made-up files of the field's forms, is saved, loaded, and draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("lightning")
from polyscore import hub
from polyscore.shapes import ColouredPoints, PointGenerator
from polyscore.shapes.point_voxel import PointVoxelGenerator
from polyscore.shapes.pose import PoseEstimator
from polyscore.training.engine import assemble

LEVEL = {"voxels": [8, 1, 4], "points": 12, "radius": 0.6, "neighbours": 4, "widths": [8], "up": [8], "up_voxels": [8, 1, 4]}
NETWORK = "--model.init_args.model.init_args"


@pytest.fixture
def words(tmp_path: Path) -> dict[str, list[str]]:
    """What each configuration is given so that it has data and takes no time."""
    h5py = pytest.importorskip("h5py")
    clouds = np.random.default_rng(0).standard_normal((6, 40, 3)).astype(np.float32)
    with h5py.File(tmp_path / "shapenet.hdf5", "w") as file:  # luost26's
        file["02691156/train"], file["02691156/val"] = clouds, clouds[:2]
    for split, part in (("train", clouds), ("val", clouds[:2])):  # ShapeNetCore.v2.PC15k
        (tmp_path / "pc15k" / "02691156" / split).mkdir(parents=True)
        for i, cloud in enumerate(part):
            np.save(tmp_path / "pc15k" / "02691156" / split / f"{i}.npy", cloud)
    few = ["--data.init_args.batch_size=2", "--data.init_args.points=24"]
    solids = [*few, "--data.init_args.each=1", "--data.init_args.keep=64", "--data.init_args.validation=1"]
    small = [f"{NETWORK}.network.init_args.width=16", f"{NETWORK}.network.init_args.blocks=1"]
    return {
        "points": [*solids, *small],
        "points_fine": [*solids, *small],
        "points_dpm": [*few, f"--data.init_args.path={tmp_path / 'shapenet.hdf5'}"],
        "points_pvd": [
            *few,
            f"--data.init_args.path={tmp_path / 'pc15k'}",
            f"{NETWORK}.denoiser.init_args.network.init_args.levels={json.dumps([LEVEL])}",
        ],
        "pose": [*few, "--data.init_args.each=1", "--data.init_args.batches=2", "--data.init_args.validation=2"],
    }


DRAWS: dict[str, Any] = {
    "points": (ColouredPoints, lambda model: model.sample(torch.tensor([[0, 0], [3, 8]]), 16, steps=2).xyz),
    "points_fine": (ColouredPoints, lambda model: model.sample(torch.tensor([[0, 0], [3, 8]]), 16, steps=2).xyz),
    "points_dpm": (PointGenerator, lambda model: model.sample(2, 16, steps=3)),
    "points_pvd": (PointVoxelGenerator, lambda model: model.sample(2, 16, steps=3)),
    "pose": (PoseEstimator, lambda model: model.estimate(torch.randn(30, 3)).R),
}


@pytest.mark.parametrize("name", list(DRAWS))
def test_it_trains_is_saved_and_draws(name: str, repository: Path, tmp_path: Path, words: dict[str, list[str]]) -> None:
    limits = ["--trainer.max_epochs=1", "--trainer.max_steps=2", "--trainer.limit_val_batches=1"]
    out = tmp_path / "run"
    run = assemble([repository / "configs" / "shapes" / f"{name}.yaml"], folder=out, overrides=[*words[name], *limits])
    before = {key: value.clone() for key, value in run.module.model.state_dict().items()}  # type: ignore[union-attr]
    assert run.fit() and run.trainer.global_step == 2
    kind, draw = DRAWS[name]
    model = hub.load(out / "model")
    assert isinstance(model, kind)
    state = model.state_dict()
    assert state.keys() == before.keys() and any(not torch.equal(state[key], before[key]) for key in state)
    first = draw(model)
    assert bool(torch.isfinite(first).all())
    torch.manual_seed(0)
    again = draw(hub.load(out / "model"))
    torch.manual_seed(0)
    assert torch.equal(draw(model), again)
