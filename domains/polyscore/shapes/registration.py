"""Registration by diffusion: where a cloud lies on another, as a rigid motion drawn by a reverse process on SE(3).

The network sees the source moved by the present state, X_t = H_t X, and says which motion remains, so H_0 = dH(X_t, Y) H_t; the
process puts the state back along the screw and adds tangent noise. The published run starts at the identity, makes the steps
5, 4, 3, 2 of a table of 5 cosine betas, and answers with the last prediction: four calls.

Source: Jiang et al. 2023 (DiffusionReg), arXiv 2310.17359.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.hub import Pretrained
from polyscore.lie import angle, transform
from polyscore.noise import NoiseLike
from polyscore.processes import BetaTable, Rigid, cosine_betas
from polyscore.samplers import Ancestral, sample
from polyscore.shapes.frames import Frame, falling, placed
from polyscore.shapes.networks import RegistrationNetwork
from polyscore.shapes.ops import estimate_normals, knn
from polyscore.state import Given

__all__ = ["Alignment", "Clouds", "Registration", "RemainingMotion", "published_process"]

_AGREE = (math.radians(10), 0.1)  # samples agree within this angle and this part of the target's diameter


def published_process() -> Rigid:
    """The process of DiffusionReg's test: 5 cosine betas, noise of 0.1 rad and 0.01 units."""
    return Rigid(BetaTable(cosine_betas(5)), rotation_std=0.1, translation_std=0.01)


@dataclass(frozen=True)
class Clouds:
    """What the network is told (`given.cond`): clouds (B, N, 3), (B, M, 3) with unit normals, in the network's frame and unit.

    `features` are what is known already: those of the target (B, M, width) for `RemainingMotion`, those of the anchors of both
    clouds for `global_registration.MatchedMotion`.
    """

    source: Tensor
    source_normals: Tensor
    target: Tensor
    target_normals: Tensor
    features: Any = None


@dataclass(frozen=True)
class RemainingMotion:
    """A network that says which motion remains, as a denoiser of `Rigid`: H_0 = network(H_t X, Y) H_t."""

    network: RegistrationNetwork

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        """`x` (B, 4, 4), `given.cond` the `Clouds`; the published network is not told the time."""
        clouds = given.cond
        if not isinstance(clouds, Clouds):
            raise InputError(f"RemainingMotion: given.cond is a {type(clouds).__name__}, expected Clouds")
        moved, normals = transform(x, clouds.source), clouds.source_normals @ x[:, :3, :3].mT
        features = clouds.features
        if features is None:
            features = self.network.embed(clouds.target, clouds.target_normals)
        rest = self.network.match(moved, clouds.target, self.network.embed(moved, normals), features)
        return Prediction(rest @ x)


@dataclass(frozen=True)
class Alignment:
    """Where the source lies on the target.

    Attributes:
        pose: motion (4, 4) that takes source points to target points, x -> R x + t, in the clouds' own unit.
        confidence: part of the samples that agree with `pose` within 10 degrees and a tenth of the target's diameter, 0 to 1.
        residual: mean distance from a moved source point to the nearest target point, in the clouds' unit.
        poses: all samples (K, 4, 4).
        residuals: of all samples (K,).
    """

    pose: Tensor
    confidence: float
    residual: float
    poses: Tensor = field(repr=False)
    residuals: Tensor = field(repr=False)

    @classmethod
    def of(cls, poses: Tensor, residuals: Tensor, frame: Frame, *, best: int) -> Alignment:
        """Samples (K, 4, 4) with their residuals (K,), of which `best` is the answer."""
        middles = transform(poses, frame.source[None])[:, 0]
        turned = angle(poses[best, :3, :3].expand(len(poses), 3, 3), poses[:, :3, :3])
        agree = (turned <= _AGREE[0]) & ((middles - middles[best]).norm(dim=-1) <= _AGREE[1] * frame.diameter)
        return cls(poses[best], float(agree.double().mean()), float(residuals[best]), poses, residuals)


class Registration(Pretrained):
    """Aligns clouds: `Registration.from_pretrained(folder).register(source, target).pose`.

    As in the published training, the source is centred on its mean and the target on the middle of its bounding box; lengths are
    divided by diameter(target) / `extent`, or by `unit`.

    Args:
        network: says which motion remains.
        process: rigid process of the reverse run.
        times: of the run, from 1 down to 0. The default leaves out the last step of the published table, whose noise is tiny.
        extent: the target's diameter in the network's unit (the three objects of the published training: 1.68, 0.69 and 1.37).
        source_points: the source is thinned to so many points (published: 512).
        target_points: and the target (published: 1024).
        normals_radius: of the neighbourhoods from which missing normals are estimated, in the network's unit.

    Raises:
        InputError: times that do not fall from 1 to 0, or sizes that are not positive.
    """

    def __init__(
        self,
        network: RegistrationNetwork,
        process: Rigid,
        times: tuple[float, ...] = (1.0, 0.8, 0.6, 0.4, 0.0),
        *,
        extent: float = 1.25,
        source_points: int = 512,
        target_points: int = 1024,
        normals_radius: float = 0.3,
    ) -> None:
        super().__init__()
        times = falling(times, "Registration")
        if min(extent, normals_radius) <= 0 or min(source_points, target_points) < 4:
            raise InputError(
                f"Registration: extent {extent}, normals_radius {normals_radius}, source_points {source_points}, target_points "
                f"{target_points}; expected positive numbers and at least 4 points"
            )
        self.network, self.process, self.times = network, process, times
        self.extent, self.normals_radius = extent, normals_radius
        self.source_points, self.target_points = source_points, target_points

    @torch.no_grad()
    def register(
        self,
        source: Any,
        target: Any,
        *,
        normals: tuple[Any, Any] | None = None,
        samples: int = 5,
        seed: int = 0,
        unit: float | None = None,
    ) -> Alignment:
        """The motion that takes `source` onto `target`: of several samples the one that lies closest.

        Args:
            source: points (N, 3), usually a part of the target's surface, of one length unit with it.
            target: points (M, 3), the whole object.
            normals: unit normals (N, 3), (M, 3); estimated where not given, pointing away from each cloud's mean. Pair features
                depend on their sign, so give those of the training's convention where they are known.
            samples: reverse runs.
            seed: of the thinning and of the first sample's noise; the next sample has the next.
            unit: length of the network's unit in that of the clouds; by default diameter(target) / extent.

        Raises:
            InputError: clouds or normals that are not (N, 3) finite numbers with at least four points, a target without extent,
                fewer than one sample, or a unit that is not positive.
        """
        own, counts = next(self.network.parameters()), (self.source_points, self.target_points)
        x, x_normals, y, y_normals, frame = placed(
            source, target, normals, counts, extent=self.extent, unit=unit, samples=samples, seed=seed
        )
        parts = []
        for points, known in ((x, x_normals), (y, y_normals)):
            found = estimate_normals(points, radius=self.normals_radius) if known is None else known
            parts += [part.to(own)[None].expand(samples, -1, -1) for part in (points, found)]
        poses = self.run(Clouds(*parts), noise=seed).double().cpu()
        residuals = knn(y.expand(samples, -1, -1), transform(poses, x), 1)[0].mean((-2, -1)) * frame.unit
        return Alignment.of(frame.outward(poses), residuals, frame, best=int(residuals.argmin()))

    def run(self, clouds: Clouds, *, noise: NoiseLike = 0) -> Tensor:
        """The reverse process from the identity, in the network's frame and unit: motions (B, 4, 4)."""
        if clouds.features is None:
            one = clouds.target.stride(0) == 0  # one cloud repeated, as `register` gives it
            target, normals = (part[:1] if one else part for part in (clouds.target, clouds.target_normals))
            features = self.network.embed(target, normals).expand(len(clouds.target), -1, -1)
            clouds = replace(clouds, features=features)
        start = torch.eye(4).to(clouds.source).expand(len(clouds.source), 4, 4)
        out: Tensor = sample(
            Ancestral(),
            RemainingMotion(self.network),
            self.process,
            start,
            steps=len(self.times) - 1,
            grid=self.times,
            given=Given(cond=clouds),
            noise=noise,
            init=start,
        )
        return out
