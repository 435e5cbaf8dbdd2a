"""A voxel field under nerfstudio's rays, pulled towards what a teacher would like to see.

Everything that a camera sees is what nerfstudio's own quadrature sums along its rays: colour on white, coverage, depth and
normals. Training takes the pictures of a rig apart again, lights them, and shows them to the teacher.

The teacher is no part of the model's state: checkpoints hold the field alone, as plain tensors, and load with `weights_only`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.model_components.ray_samplers import UniformSampler
from nerfstudio.model_components.renderers import AccumulationRenderer, DepthRenderer, NormalsRenderer, RGBRenderer
from nerfstudio.model_components.scene_colliders import AABBBoxCollider
from nerfstudio.models.base_model import Model, ModelConfig
from torch import Tensor
from torch.nn import Parameter

from nerfstudio_polyscore.axes import from_studio, to_studio
from nerfstudio_polyscore.teachers import Teacher, TeacherConfig, WordsTeacherConfig
from polyscore.errors import InputError
from polyscore.shapes.fields import VoxelField
from polyscore.shapes.render import Orthographic
from polyscore.shapes.render.volume import Seen, shaded

__all__ = ["PolyscoreModel", "PolyscoreModelConfig"]

_LEAST = 2e-3  # weights below this carry no colour


@dataclass
class PolyscoreModelConfig(ModelConfig):
    """A voxel field and who teaches it."""

    _target: type = field(default_factory=lambda: PolyscoreModel)
    prompt: str | None = "a red chair"
    """what to make; words that the multi-view prior knows, or any text for a pipeline"""
    teacher: TeacherConfig = field(default_factory=WordsTeacherConfig)
    """who judges the pictures"""
    voxels: int = 48
    """a side of the field"""
    samples: int = 48
    """places along a ray"""
    smooth: float = 0.02
    """weight of the field's roughness"""


class PolyscoreModel(Model):
    """Renders the field; learns from the teacher."""

    config: PolyscoreModelConfig

    def populate_modules(self) -> None:
        """The field, as the teacher has it begin, and what looks at it."""
        if not self.config.prompt:
            raise InputError("polyscore-sds: no words; expected --prompt, such as --prompt 'a red chair'")
        self.field = VoxelField(self.config.voxels)
        self.teacher: Teacher = self.config.teacher.setup(prompt=self.config.prompt, device=self.kwargs.get("device", "cpu"))
        self.teacher.begin(self.field)
        self.collider = AABBBoxCollider(self.scene_box)
        self.sampler = UniformSampler(self.config.samples)
        self.renderer_rgb = RGBRenderer("white")
        self.renderer_accumulation = AccumulationRenderer()
        self.renderer_depth = DepthRenderer("expected")
        self.renderer_normals = NormalsRenderer()
        self.step, self.progress = 0, 0.0

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """All of the field."""
        return {"fields": list(self.field.parameters())}

    def get_training_callbacks(self, training_callback_attributes: TrainingCallbackAttributes) -> list[TrainingCallback]:
        """Tells the model where the run is."""
        trainer = training_callback_attributes.trainer
        steps = 1 if trainer is None else trainer.config.max_num_iterations

        def begin(step: int) -> None:
            self.step, self.progress = step, min(step / steps, 1.0)

        return [TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], begin)]

    def get_outputs(self, ray_bundle: RayBundle) -> dict[str, Tensor]:
        """Colour on white, coverage, depth, and (1 + n) / 2 of normals n times coverage, for R rays."""
        samples = self.sampler(ray_bundle)
        points = from_studio(samples.frustums.get_positions())
        density = self.field.density(points.reshape(-1, 3)).view(points.shape[:2])
        weights = samples.get_weights(density[..., None])
        row, column = (weights[..., 0].detach() > _LEAST).nonzero(as_tuple=True)
        at = points[row, column]
        told = torch.cat([self.field.colour(at), to_studio(self.field.normals(at))], -1)
        colour, normals = points.new_zeros(*points.shape[:2], 6).index_put((row, column), told).split(3, -1)
        return {
            "rgb": self.renderer_rgb(rgb=colour, weights=weights),
            "accumulation": self.renderer_accumulation(weights=weights),
            "depth": self.renderer_depth(weights=weights, ray_samples=samples),
            "normals": (1 + self.renderer_normals(normals=normals, weights=weights, normalize=False)) / 2,
        }

    def pictures(self, outputs: dict[str, Tensor], angles: Tensor) -> Tensor:
        """Pictures (V, 7, H, H) as `polyscore.shapes.pictures` has them, of what a rig at angles (V, 2) sees."""
        views = len(angles)
        size = round((len(outputs["rgb"]) / views) ** 0.5)
        coverage = outputs["accumulation"].view(views, size, size)
        colour = outputs["rgb"].view(views, size, size, 3) - (1 - coverage)[..., None]
        normal = from_studio(2 * outputs["normals"] - 1).view(views, size, size, 3)
        turn = Orthographic.orbit(angles[:, 0], angles[:, 1]).rotation
        depth = outputs["depth"].view(views, size, size)
        return shaded(Seen(coverage, colour, normal @ turn[:, None], depth), self.teacher.finish)

    def get_loss_dict(
        self, outputs: dict[str, Tensor], batch: dict[str, Any], metrics_dict: dict[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """The teacher's loss, and the field's roughness."""
        pictures = self.pictures(outputs, batch["angles"])
        judged = self.teacher.loss(pictures, batch["angles"], step=self.step, progress=self.progress)
        return {"sds": judged, "roughness": self.config.smooth * self.field.roughness()}

    def get_metrics_dict(self, outputs: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, Tensor]:
        """How much of the pictures is covered."""
        return {"coverage": outputs["accumulation"].detach().mean()}

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Any]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """There is no truth to compare with: the coverage, and the pictures."""
        covered = outputs["accumulation"]
        shown = {"img": outputs["rgb"], "accumulation": covered.expand_as(outputs["rgb"]), "normals": outputs["normals"]}
        return {"coverage": float(covered.mean())}, shown
