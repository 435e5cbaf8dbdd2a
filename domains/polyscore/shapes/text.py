"""From words to views: the bundled multi-view prior and what every text-to-3-D engine asks of it.

`TextToShape.from_pretrained("solids").views(parse("a red chair"), rigs)` draws pictures of one chair from several sides. The
engines (`polyscore.shapes.engines`) turn the same model into a field, and a field into a mesh.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.errors import InputError, PolyscoreError
from polyscore.guidance import CFG
from polyscore.hub import Pretrained
from polyscore.samplers import DDIM, sample
from polyscore.shapes.pictures import CHANNELS
from polyscore.shapes.words import Words
from polyscore.state import Given

__all__ = ["TextToShape", "trained_prior"]


class TextToShape(Pretrained):
    """A prior of views of one object: pictures (B, V, 7, size, size), see `polyscore.shapes.pictures`.

    Args:
        denoiser: of such states, with a `process`; `given.cond` as `polyscore.shapes.networks.MultiViewUNet` says.
        size: height and width of a view.
        extent: what the height covers in space; cameras are orthographic.

    Raises:
        InputError: sizes that are not positive.
    """

    def __init__(self, denoiser: nn.Module, size: int = 48, *, extent: float = 1.5) -> None:
        super().__init__()
        if size < 1 or not extent > 0:
            raise InputError(f"TextToShape: views of {size} pixels, {extent} high; expected positive numbers")
        self.denoiser = denoiser
        self.size, self.extent = size, extent

    def prompts(self, words: Words, cameras: Tensor) -> dict[str, Mapping[str, Tensor]]:
        """What the denoiser is told for cameras (B, V, 2) in degrees: "cond" with the words, "null" without them."""
        numbers = words.numbers().to(cameras.device).expand(len(cameras), -1)
        return {
            "cond": {"words": numbers, "cameras": cameras},
            "null": {"words": torch.full_like(numbers, -1), "cameras": cameras},
        }

    def guided(self, scale: float) -> Any:
        """The denoiser under classifier-free guidance e0 + scale (ey - e0) on the words; cameras are told in both."""
        return CFG(self.denoiser, null=_unsaid, scale=scale)

    @torch.no_grad()
    def views(self, words: Words, cameras: Tensor, *, steps: int = 20, guidance: float = 2.0, seed: int = 0) -> Tensor:
        """Pictures (B, V, 7, size, size) of B objects from cameras (B, V, 2) in degrees; object i draws from seed + i.

        Raises:
            InputError: cameras of another shape, or a guidance that is no number.
            PolyscoreError: the model gave values that are not numbers.
        """
        if cameras.ndim != 3 or cameras.shape[-1] != 2 or not math.isfinite(guidance):
            found = f"cameras {tuple(cameras.shape)}, guidance {guidance}"
            raise InputError(f"views: {found}; expected (B, V, 2) and a finite number")
        like = cameras.new_empty(*cameras.shape[:2], CHANNELS, self.size, self.size)
        process: Any = self.denoiser.process
        given = Given(cond=self.prompts(words, cameras)["cond"])
        x: Tensor = sample(DDIM(), self.guided(guidance), process, like, steps=steps, given=given, noise=seed)
        if not bool(torch.isfinite(x).all()):
            raise PolyscoreError("views: the model gave values that are not numbers; was its training finished?")
        return x


def _unsaid(given: Given) -> Given:
    """The same cameras without the words."""
    return given._replace(cond={**given.cond, "words": torch.full_like(given.cond["words"], -1)})


def trained_prior(name: str) -> TextToShape:
    """`TextToShape.from_pretrained`, with a return type that a configuration's `class_path` can be checked against.

    Raises:
        CheckpointError: there is no such model.
    """
    return TextToShape.from_pretrained(name)
