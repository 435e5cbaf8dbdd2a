"""The methods `polyscore-sds` and `polyscore-sds-diffusers`."""

from __future__ import annotations

from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification

from nerfstudio_polyscore.cameras import RigDataManagerConfig
from nerfstudio_polyscore.model import PolyscoreModelConfig
from nerfstudio_polyscore.teachers import FolderTeacherConfig, WordsTeacherConfig

__all__ = ["polyscore_sds", "polyscore_sds_diffusers"]


def _trainer(name: str, cameras: RigDataManagerConfig, model: PolyscoreModelConfig, *, steps: int, rate: float) -> TrainerConfig:
    # rates are Python's numbers and there is no schedule: numpy's numbers in a checkpoint would not load with weights_only
    return TrainerConfig(
        method_name=name,
        max_num_iterations=steps,
        steps_per_save=100,
        steps_per_eval_batch=0,
        steps_per_eval_image=50,
        steps_per_eval_all_images=0,
        mixed_precision=False,
        use_grad_scaler=False,
        pipeline=VanillaPipelineConfig(datamanager=cameras, model=model),
        optimizers={"fields": {"optimizer": AdamOptimizerConfig(lr=rate, eps=1e-8), "scheduler": None}},
        viewer=ViewerConfig(num_rays_per_chunk=1 << 14),
        vis="viewer",
    )


polyscore_sds = MethodSpecification(
    config=_trainer(
        "polyscore-sds", RigDataManagerConfig(), PolyscoreModelConfig(teacher=WordsTeacherConfig()), steps=300, rate=0.2
    ),
    description="Words to a coloured body by score distillation of polyscore's multi-view prior; needs no data.",
)

polyscore_sds_diffusers = MethodSpecification(
    config=_trainer(
        "polyscore-sds-diffusers",
        RigDataManagerConfig(views=2, resolution=64, extent=1.3, elevations=(-10.0, 75.0)),
        PolyscoreModelConfig(prompt=None, teacher=FolderTeacherConfig(), voxels=64, samples=64),
        steps=2000,
        rate=0.05,
    ),
    description="Text to a coloured body by score distillation of a local diffusers pipeline; needs no data.",
)
