"""Adapters: a diffusers network as a polyscore denoiser, a polyscore sampler as a diffusers scheduler."""

from polyscore.interchange.diffusers.denoiser import DiffusersDenoiser
from polyscore.interchange.diffusers.scheduler import FromGenerator, PolyscoreScheduler

__all__ = ["DiffusersDenoiser", "FromGenerator", "PolyscoreScheduler"]
