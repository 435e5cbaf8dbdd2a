"""Who says how the field should look: the multi-view prior, or a local text-to-image pipeline of diffusers.

A teacher holds frozen networks and is no module, so that they are no part of a checkpoint. What it draws depends on the seed and
the step alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor

from polyscore.distillation import ScoreDistillation, Window, rules
from polyscore.errors import InputError
from polyscore.interchange.diffusers import TextToImage
from polyscore.shapes.data.procedural import grid_points
from polyscore.shapes.engines.guided import side
from polyscore.shapes.engines.hull import fog
from polyscore.shapes.fields import VoxelField
from polyscore.shapes.finishes import FINISHES, Finish
from polyscore.shapes.pictures import layers
from polyscore.shapes.text import TextToShape
from polyscore.shapes.words import parse

__all__ = ["FolderTeacher", "FolderTeacherConfig", "Teacher", "TeacherConfig", "WordsTeacher", "WordsTeacherConfig"]

_SIDES = ("front", "side", "back", "overhead")
_BALL = 0.35  # radius of the fog that a pipeline begins with: it says nothing about an empty picture


@dataclass
class TeacherConfig(InstantiateConfig):
    """What all teachers have."""

    _target: type = field(default_factory=lambda: Teacher)
    seed: int = 0
    """of the noise"""


@dataclass
class WordsTeacherConfig(TeacherConfig):
    """The multi-view prior."""

    _target: type = field(default_factory=lambda: WordsTeacher)
    prior: str = "solids"
    """a shipped prior's name, or the folder of one"""
    guidance: float = 2.0
    """of the words"""
    high: float = 0.98
    """time at the beginning of the run"""
    low: float = 0.08
    """time at its end"""


@dataclass
class FolderTeacherConfig(TeacherConfig):
    """A text-to-image pipeline."""

    _target: type = field(default_factory=lambda: FolderTeacher)
    folder: Path = Path("pipeline")
    """of the pipeline, such as Stable Diffusion 1 or 2; nothing is downloaded"""
    guidance: float = 100.0
    """of the text"""
    opaque: float = 5e-4
    """weight of the coverage's entropy"""


class Teacher(ABC):
    """Judges what a rig sees: pictures (V, 7, H, H) of `polyscore.shapes.pictures`, from angles (V, 2) in degrees."""

    finish: Finish

    @abstractmethod
    def begin(self, field: VoxelField) -> None:
        """Put into an empty field what the teacher needs to see."""

    @abstractmethod
    def loss(self, pictures: Tensor, angles: Tensor, *, step: int, progress: float) -> Tensor:
        """What is to become smaller, a number."""


class WordsTeacher(Teacher):
    """`polyscore.distillation.rules.x0` of the prior, the time annealed over the run."""

    def __init__(self, config: WordsTeacherConfig, *, prompt: str, device: torch.device | str) -> None:
        self.config = config
        self.words = parse(prompt).coloured(config.seed)
        self.finish = self.words.finish
        self.prior = TextToShape.from_pretrained(config.prior, device=device).requires_grad_(requires_grad=False)
        self.rule = rules.x0(config.guidance, high=config.high, low=config.low)

    def begin(self, field: VoxelField) -> None:
        """Nothing: it may begin empty."""

    def loss(self, pictures: Tensor, angles: Tensor, *, step: int, progress: float) -> Tensor:
        """The rule's loss a number of the pictures.

        Raises:
            InputError: pictures of another size than the prior's.
        """
        if pictures.shape[-1] != self.prior.size:
            raise InputError(
                f"pictures of {pictures.shape[-1]} pixels and a prior of {self.prior.size}; "
                f"expected --pipeline.datamanager.resolution {self.prior.size}"
            )
        process: Any = self.prior.denoiser.process
        draw = self.config.seed * 1_000_003 + step
        found = self.rule(
            pictures[None],
            self.prior.prompts(self.words, angles[None]),
            denoiser=self.prior.denoiser,
            process=process,
            noise=draw,
            generator=torch.Generator().manual_seed(draw),
            progress=progress,
        )
        return found.loss.sum() / pictures.numel()


class FolderTeacher(Teacher):
    """`rules.sds` of the pipeline on grounds of random grey; the text says where the camera stands (DreamFusion)."""

    finish = FINISHES[0]

    def __init__(self, config: FolderTeacherConfig, *, prompt: str, device: torch.device | str) -> None:
        self.config = config
        self.model = TextToImage.from_folder(config.folder, device=device)
        texts = [*(f"{prompt}, {name} view" for name in _SIDES), ""]
        self.told = dict(zip((*_SIDES, "null"), self.model.told(texts)["encoder_hidden_states"], strict=True))
        times = Window((0.02, 0.02, 1.0), (0.98, 0.5, 1.0), shared=True)
        self.rule: ScoreDistillation = replace(rules.sds(config.guidance), times=times)

    @torch.no_grad()
    def begin(self, field: VoxelField) -> None:
        """Fog in a ball."""
        fog(field, ((_BALL - grid_points(field.size).norm(dim=-1)) / _BALL).clamp(0, 1))

    def loss(self, pictures: Tensor, angles: Tensor, *, step: int, progress: float) -> Tensor:
        """The rule's loss a number of the pipeline's state, and the weighted entropy of the coverage."""
        draw = self.config.seed * 1_000_003 + step * len(pictures)
        generator = torch.Generator().manual_seed(draw)
        seen = layers(pictures)
        grey = torch.rand(len(pictures), 1, 1, 1, generator=generator).to(pictures)
        judged = self.model.states((seen.colour + (1 - seen.coverage)[..., None] * grey).movedim(-1, 1).clamp(0, 1))
        asked = [side(float(azimuth), float(elevation)) for azimuth, elevation in angles]
        names = {"cond": asked, "null": ["null"] * len(asked)}
        prompts = {k: {"encoder_hidden_states": torch.stack([self.told[name] for name in row])} for k, row in names.items()}
        found = self.rule(
            judged,
            prompts,
            denoiser=self.model.denoiser,
            process=self.model.process,
            noise=draw,
            generator=generator,
            progress=progress,
        )
        w = seen.coverage.clamp(1e-4, 1 - 1e-4)
        entropy = -(w * w.log() + (1 - w) * (1 - w).log()).mean()
        return found.loss.mean() / judged[0].numel() + self.config.opaque * entropy
