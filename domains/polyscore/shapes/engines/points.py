"""A coloured cloud of points, drawn in one go, and the closed body around it (`polyscore.shapes.engines.closing`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.coloured_points import ColouredPoints
from polyscore.shapes.engines.base import Aid, Engine, Frame, Request
from polyscore.shapes.engines.closing import closed_body
from polyscore.shapes.packages import package
from polyscore.shapes.words import Words, parse

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["Points"]

_HALF = 0.47  # the cloud's box: the body is a little larger


@dataclass(frozen=True)
class Points(Engine[ColouredPoints, Words]):
    """A cloud of a `ColouredPoints` and its closing.

    A sketch is points on its surface with noise on them, drawn anew from there; a mesh that is to be painted gives the places,
    and the colours are drawn.

    Args:
        points: of the cloud.
        steps: of each of its two stages.
        guidance: of the words.
        strength: how far a sketch is left, from 0 to 1.

    Raises:
        InputError: fewer than 16 points, no steps, or a strength outside [0, 1].
    """

    points: int = 4096
    steps: int = 50
    guidance: float = 1.5
    strength: float = 0.6

    shipped: ClassVar[str | None] = "points"
    aids: ClassVar[frozenset[Aid]] = frozenset({"sketch", "paint"})

    def __post_init__(self) -> None:
        if self.points < 16 or self.steps < 1 or not 0 <= self.strength <= 1:
            raise InputError(f"Points: {self}; expected at least 16 points, one step, and a strength in [0, 1]")

    @property
    def nfe(self) -> int:
        return 2 * self.steps * (2 if self.guidance != 1 else 1)

    @property
    def length(self) -> int:
        return 1

    def load(self, name: str, *, device: str | torch.device = "cpu") -> ColouredPoints:
        return ColouredPoints.from_pretrained(name, device=device)

    def read(self, phrase: str) -> Words:
        return parse(phrase)

    def frames(self, model: ColouredPoints, request: Request[Words]) -> Iterator[Frame]:
        labels = request.words.numbers()[None, : len(model.network.labels)]
        settings: dict[str, Any] = {"steps": self.steps, "guidance": self.guidance, "seed": request.seed}
        if request.paint is not None:
            places = self._on(request.paint, request.seed)
            yield Frame(1, 1, closed_body(places, model.paint(places[None], labels, **settings)[0]))
            return
        if request.sketch is not None:
            places = self._on(request.sketch, request.seed)
            cloud = model.follow(places[None], labels, strength=self.strength, **settings)
        else:
            cloud = model.sample(labels, self.points, **settings)
        xyz, rgb = cloud.xyz[0].cpu(), cloud.rgb[0].cpu()
        low, high = xyz.amin(0), xyz.amax(0)
        size = (high - low).max().clamp(min=1e-6)
        yield Frame(1, 1, closed_body((xyz - (low + high) / 2) * (2 * _HALF / size), rgb))

    def _on(self, mesh: Trimesh, seed: int) -> Tensor:
        """Points (N, 3) of the surface of a mesh."""
        found, _ = package("trimesh", "a mesh").sample.sample_surface(mesh, self.points, seed=seed)
        return torch.from_numpy(found).float()
