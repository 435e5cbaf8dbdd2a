"""Splats by gsplat (Ye et al. 2024, arXiv 2409.06765): the inputs and the result of `polyscore.shapes.render.splat`, with CUDA.

gsplat sorts splats into tiles of 16 pixels and leaves a splat out of tiles that its three standard deviations do not reach, where
our own pictures may still hold up to exp(-4.5) of its opacity. It has no rasteriser for a CPU.
"""

from __future__ import annotations

import torch

from polyscore.errors import InputError, MissingExtraError
from polyscore.shapes.packages import package
from polyscore.shapes.render.cameras import Camera, Perspective, Size, shape_of
from polyscore.shapes.render.conventions import opencv
from polyscore.shapes.render.splats import Splats, Splatted

__all__ = ["splat"]


def splat(splats: Splats, camera: Camera, size: Size, *, near: float = 0.01) -> Splatted:
    """Pictures of splats by B cameras, differentiable in all of them; splats closer than `near` are left out.

    Raises:
        MissingExtraError: gsplat is not installed, or there is no CUDA device.
        InputError: the splats are not on one.
    """
    host = package("gsplat", "splatting with gsplat", install="pip install gsplat")
    if not torch.cuda.is_available():
        raise MissingExtraError("gsplat: it needs a CUDA device, and there is none; polyscore.shapes.render.splat runs on any")
    if splats.means.device.type != "cuda":
        raise InputError(f"gsplat: splats on {splats.means.device}, expected a CUDA device")
    height, width = shape_of(size)
    matrices = opencv(camera, size)
    seen, coverage, _ = host.rasterization(
        splats.means,
        splats.turns,
        splats.scales,
        splats.opacities,
        splats.colours,
        matrices.extrinsics,
        matrices.intrinsics,
        width,
        height,
        near_plane=near,
        packed=False,
        render_mode="RGB+D",
        camera_model="pinhole" if isinstance(camera, Perspective) else "ortho",
    )
    return Splatted(seen[..., :3], coverage[..., 0], seen[..., 3])
