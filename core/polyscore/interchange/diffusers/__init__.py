"""Adapters: a diffusers network as a denoiser, a pipeline as a judge of pictures, a sampler as a diffusers scheduler."""

from polyscore.interchange.diffusers.denoiser import DiffusersDenoiser
from polyscore.interchange.diffusers.scheduler import FromGenerator, PolyscoreScheduler
from polyscore.interchange.diffusers.text_to_image import TextToImage

__all__ = ["DiffusersDenoiser", "FromGenerator", "PolyscoreScheduler", "TextToImage"]
