"""The data of a method that has none: rigs of random cameras to train from, and a turntable to look at the result.

A rig is what the prior knows: parallel rays of V cameras around the object, a full turn divided evenly. The rig of a step depends
on the seed and the step alone, so a run that was resumed sees what it would have seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datamanagers.base_datamanager import DataManager, DataManagerConfig
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader
from numpy.typing import NDArray
from torch import Tensor

from nerfstudio_polyscore.axes import to_studio
from polyscore.shapes.pictures import rig
from polyscore.shapes.render import Orthographic, Perspective

__all__ = ["RigDataManager", "RigDataManagerConfig", "Turntable"]

_DISTANCE = 2.6  # of cameras from the middle of the unit box
_FOV = 40.0


@dataclass
class RigDataManagerConfig(DataManagerConfig):
    """Random rigs."""

    _target: type = field(default_factory=lambda: RigDataManager)
    views: int = 4
    """cameras of a rig"""
    resolution: int = 48
    """pixels a side of their pictures; those of the prior"""
    extent: float = 1.5
    """what a picture's height covers in space; that of the prior"""
    elevations: tuple[float, float] = (-10.0, 45.0)
    """range of the rigs' elevation in degrees"""
    turntable: int = 8
    """views of the evaluation"""
    turntable_resolution: int = 128
    """pixels a side of the evaluation's views"""
    seed: int = 0
    """of the rigs"""


class Turntable(InputDataset):
    """Views around the object, without pictures: there is nothing to compare with."""

    def __init__(self, views: int, resolution: int) -> None:
        shown = Perspective.orbit(torch.arange(views) * (360.0 / views), 20.0, _DISTANCE, fov=_FOV)
        pose = to_studio(shown.pose[:, :3].mT).mT
        focal = resolution / 2 / math.tan(math.radians(_FOV / 2))
        middle = resolution / 2
        cameras = Cameras(pose, fx=focal, fy=focal, cx=middle, cy=middle, width=resolution, height=resolution)
        names = [Path(f"view_{view:03d}") for view in range(views)]
        super().__init__(DataparserOutputs(names, cameras, scene_box=SceneBox(torch.tensor([[-0.5] * 3, [0.5] * 3]))))
        self.resolution = resolution

    def get_numpy_image(self, image_idx: int) -> NDArray[np.uint8]:
        """White."""
        return np.full((self.resolution, self.resolution, 3), 255, dtype=np.uint8)


class RigDataManager(DataManager):
    """Hands rays of a rig to training; its batch says the cameras' angles (V, 2) in degrees."""

    config: RigDataManagerConfig

    def __init__(self, config: RigDataManagerConfig, device: torch.device | str = "cpu", **_: Any) -> None:
        super().__init__()
        self.config, self.device = config, device
        self.train_dataset = self.eval_dataset = Turntable(config.turntable, config.turntable_resolution)
        self.fixed_indices_eval_dataloader = FixedIndicesEvalDataloader(self.eval_dataset, device=device)

    def next_train(self, step: int) -> tuple[RayBundle, dict[str, Any]]:
        """The rays (V H W) of the rig of a step."""
        self.train_count += 1
        return self._rig(step)

    def next_eval(self, step: int) -> tuple[RayBundle, dict[str, Any]]:
        """The rays of a rig that training does not see."""
        self.eval_count += 1
        return self._rig(-1 - step)

    def next_eval_image(self, step: int) -> tuple[Cameras, dict[str, Any]]:
        """A view of the turntable, another one at every call."""
        self.eval_count += 1
        return self.fixed_indices_eval_dataloader.get_camera(self.eval_count % self.config.turntable)

    def get_train_rays_per_batch(self) -> int:
        """V H W."""
        return self.config.views * self.config.resolution**2

    def get_eval_rays_per_batch(self) -> int:
        """V H W."""
        return self.get_train_rays_per_batch()

    def get_datapath(self) -> Path:
        """Where camera paths are stored."""
        return Path()

    def get_param_groups(self) -> dict[str, list[torch.nn.Parameter]]:
        """None."""
        return {}

    def setup_train(self) -> None:
        """Nothing to prepare."""

    def setup_eval(self) -> None:
        """Nothing to prepare."""

    def _rig(self, step: int) -> tuple[RayBundle, dict[str, Any]]:
        turn, rise = torch.rand(2, generator=torch.Generator().manual_seed(self.config.seed * 1_000_003 + step))
        low, high = self.config.elevations
        angles: Tensor = rig(360 * turn[None], low + (high - low) * rise[None], self.config.views)[0]
        size, extent = self.config.resolution, self.config.extent
        rays = Orthographic.orbit(angles[:, 0], angles[:, 1], _DISTANCE, height=extent).rays(size)
        origins, directions = (to_studio(part).reshape(-1, 3).to(self.device) for part in rays)
        camera = torch.arange(self.config.views).repeat_interleave(size**2)[:, None].to(self.device)
        area = torch.full_like(origins[:, :1], (extent / size) ** 2)
        return RayBundle(origins, directions, area, camera), {"angles": angles.to(self.device)}
