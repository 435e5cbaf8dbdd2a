"""Codes of a solid, drawn by diffusion, and the body that they decode to: three-dimensional from the first step on.

The body is where the decoded distance is negative, asked near its surface alone (`polyscore.shapes.mesh.sample_surface`);
geometry comes first, its colour is a matter of the palette (`polyscore.shapes.vecset.CodedSolid.colour`). A sketch is encoded
like any surface, and its codes are noised and drawn anew (SDEdit, Meng et al. 2022, arXiv 2108.01073); a mesh that is to be
painted goes the same way, and takes the colours of the body that was drawn over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.engines.base import Aid, Engine, Frame, Request
from polyscore.shapes.engines.result import LevelBody
from polyscore.shapes.packages import package
from polyscore.shapes.vecset import SolidCodes, VecSet
from polyscore.shapes.words import Words, parse

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["VecSetEngine", "encoded"]


@dataclass(frozen=True)
class VecSetEngine(Engine[VecSet, Words]):
    """A `VecSet` and its decoder.

    Args:
        steps: of DDIM.
        guidance: of the kind.
        strength: how far a given mesh is forgotten, from 0 (not at all) to 1.

    Raises:
        InputError: no steps, or a strength outside [0, 1].
    """

    steps: int = 20
    guidance: float = 1.5
    strength: float = 0.6

    shipped: ClassVar[str | None] = "vecset-solids"
    aids: ClassVar[frozenset[Aid]] = frozenset({"sketch", "paint"})

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.strength <= 1:
            raise InputError(f"VecSetEngine: {self}; expected at least one step, and a strength from 0 to 1")

    @property
    def nfe(self) -> int:
        return self.steps * (2 if self.guidance != 1 else 1)

    @property
    def length(self) -> int:
        return 1

    def load(self, name: str, *, device: str | torch.device = "cpu") -> VecSet:
        return VecSet.from_pretrained(name, device=device)

    def read(self, phrase: str) -> Words:
        return parse(phrase)

    def frames(self, model: VecSet, request: Request[Words]) -> Iterator[Frame]:
        words = request.words
        assert words.colour is not None  # Request has seen to it
        given = request.paint if request.sketch is None else request.sketch
        start = None if given is None else encoded(model.codes, given)
        codes = model.draw(
            words.kind,
            steps=self.steps,
            guidance=self.guidance,
            start=start,
            strength=self.strength,
            seed=request.seed,
        )
        solid = model.solid(codes[0])
        yield Frame(1, 1, LevelBody(solid.level, partial(solid.colour, colour=words.colour), smoothing=4))


def encoded(model: SolidCodes, mesh: Trimesh, *, points: int = 2048) -> Tensor:
    """Codes (M, c) of a closed mesh in [-1/2, 1/2]^3, all of it in the main colour.

    Raises:
        MissingExtraError: trimesh is missing.
    """
    found, faces = package("trimesh", "a mesh").sample.sample_surface(mesh, points, seed=0)
    normals = np.asarray(mesh.face_normals)[faces]
    device = next(model.parameters()).device
    surface, outward = (torch.from_numpy(np.ascontiguousarray(part)).float().to(device) for part in (found, normals))
    return model.encode(surface[None], outward[None], torch.zeros(1, points, dtype=torch.long, device=device))[0]
