r"""Registration of a part to the whole from any pose: a rigid diffusion over matches, with a consensus in place of least squares.

The state H_t moves the source; the network's logits say which points match, by shape and, the smaller t, by place. The denoiser
takes of every anchor the most likely match c_i and its weight w_i (the probability within `tolerance` of it), and its
prediction of H_0 is the motion on which most matches agree in all their lengths (`alignment.consensus`), so that wrong matches
do not pull it aside.

Each sample starts from a rotation of its own, uniform on SO(3), which is also the process's end point: where an object is
nearly symmetric, different starts end in different modes. All samples are polished by ICP on the full clouds, and the one that
brings most of the source onto the target with normals that agree is the answer; the share of samples that agree with it is its
confidence.

Sources: Jiang et al. 2023 (DiffusionReg), arXiv 2310.17359; Chen et al. 2022 (SC^2-PCR), arXiv 2203.14453.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.hub import Pretrained
from polyscore.lie import motion, nearest_rotation, transform
from polyscore.noise import NoiseLike, as_noise
from polyscore.processes import Cosine, Rigid
from polyscore.samplers import Ancestral, sample
from polyscore.shapes.alignment.consensus import consensus
from polyscore.shapes.alignment.icp import ICP, Surface, overlap
from polyscore.shapes.frames import falling, placed
from polyscore.shapes.networks.matching import MatchingNetwork
from polyscore.shapes.orientation import oriented_normals
from polyscore.shapes.registration import Alignment, Clouds
from polyscore.state import Given

__all__ = ["GlobalRegistration", "MatchedMotion"]


@dataclass(frozen=True)
class MatchedMotion:
    """A matching network as a denoiser of `Rigid`: H_0 is the motion on which its matches agree.

    Args:
        network: says what matches.
        process: of the motions.
        tolerance: a match counts as met within it, in the network's unit.
    """

    network: MatchingNetwork
    process: Rigid
    tolerance: float = 0.15

    def features(self, clouds: Clouds) -> Clouds:
        """The same clouds with the features of their anchors, which no motion changes."""
        parts = (clouds.source, clouds.source_normals, clouds.target, clouds.target_normals)
        return Clouds(*parts, features=self.network.embed(*parts))

    def logits(self, x: Tensor, t: Any, clouds: Clouds) -> Tensor:
        """Of matches (B, n, m), at poses (B, 4, 4) and times, a number or (B,)."""
        f, g = self.features(clouds).features if clouds.features is None else clouds.features
        time = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))
        moved = transform(x, clouds.source[:, : self.network.source_anchors])
        return self.network.logits(moved, clouds.target[:, : self.network.target_anchors], f, g, time)

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        """`x` (B, 4, 4), `given.cond` the `Clouds` (B, ...)."""
        clouds = given.cond
        if not isinstance(clouds, Clouds):
            raise InputError(f"MatchedMotion: given.cond is a {type(clouds).__name__}, expected Clouds")
        share = self.logits(x, t, clouds).softmax(-1)
        target = clouds.target[:, : self.network.target_anchors]
        best = share.argmax(-1)
        near = torch.cdist(target, target) < self.tolerance
        share = share * near.gather(1, best[..., None].expand_as(share))
        weight = share.sum(-1)
        matched = share @ target / weight[..., None].clamp(min=1e-9)
        source = clouds.source[:, : self.network.source_anchors]
        return Prediction(consensus(source, matched, weight, tolerance=self.tolerance))


class GlobalRegistration(Pretrained):
    """Aligns a part to the whole: `GlobalRegistration.from_pretrained("registration").register(source, target).pose`.

    Args:
        network: says what matches.
        process: rigid process, of training and of the reverse run; by default along the quarter circle a = cos, s = sin.
        times: of the reverse run, from 1 down to 0.
        extent: the target's diameter in the network's unit.
        source_points, target_points: clouds are thinned to so many for the network.
        dense: and to so many for the polish.
        tolerance: of a match, in the network's unit.
        polish: the last step of every sample, with reach in the network's unit.

    Raises:
        InputError: times that do not fall from 1 to 0, or sizes that are not positive.
    """

    def __init__(
        self,
        network: MatchingNetwork,
        process: Rigid | None = None,
        times: tuple[float, ...] = (1.0, 0.7, 0.4, 0.0),
        *,
        extent: float = 2.0,
        source_points: int = 512,
        target_points: int = 768,
        dense: int = 2048,
        tolerance: float = 0.15,
        polish: ICP | None = None,
    ) -> None:
        super().__init__()
        times = falling(times, "GlobalRegistration")
        if min(extent, tolerance) <= 0 or min(source_points, target_points, dense) < 16:
            raise InputError(
                f"GlobalRegistration: extent {extent}, tolerance {tolerance}, points {source_points}, {target_points} and "
                f"{dense}; expected positive numbers and at least 16 points"
            )
        self.network, self.process, self.times = network, Rigid(Cosine()) if process is None else process, times
        self.extent, self.tolerance, self.polish = extent, tolerance, ICP() if polish is None else polish
        self.source_points, self.target_points, self.dense = source_points, target_points, dense

    @property
    def denoiser(self) -> MatchedMotion:
        """The network as a denoiser of the process."""
        return MatchedMotion(self.network, self.process, self.tolerance)

    @torch.no_grad()
    def register(
        self,
        source: Any,
        target: Any,
        *,
        normals: tuple[Any, Any] | None = None,
        samples: int = 8,
        seed: int = 0,
        unit: float | None = None,
    ) -> Alignment:
        """The motion that takes `source` onto `target`: of several samples the one with the largest overlap.

        Args:
            source: points (N, 3), usually a part of the target's surface, of one length unit with it.
            target: points (M, 3), the whole object.
            normals: outward unit normals (N, 3), (M, 3), or None for one of them or both: then estimated and oriented.
            samples: reverse runs.
            seed: of the thinning and of the first sample's start and noise; the next sample has the next.
            unit: length of the network's unit in that of the clouds; by default diameter(target) / extent.

        Raises:
            InputError: clouds or normals that are not (N, 3) finite numbers with at least four points, a target without extent,
                fewer than one sample, or a unit that is not positive.
        """
        counts = (self.dense, self.dense)
        x, x_normals, y, y_normals, frame = placed(
            source, target, normals, counts, extent=self.extent, unit=unit, samples=samples, seed=seed
        )
        n = oriented_normals(x) if x_normals is None else x_normals
        m = oriented_normals(y) if y_normals is None else y_normals
        own = next(self.network.parameters())
        few, many = slice(self.source_points), slice(self.target_points)
        clouds = Clouds(*(part.to(own)[None] for part in (x[few], n[few], y[many], m[many])))
        poses = self.run(clouds, samples, noise=seed).double().cpu()
        surface, points, sides = Surface(y.numpy(), m.numpy()), x.numpy(), n.numpy()
        polished = [self.polish(points, surface, pose) for pose in poses.numpy()]
        within = self.tolerance / 3
        shares = [overlap(points, sides, surface, pose, within=within) for pose in polished]
        found = torch.stack([torch.from_numpy(pose) for pose in polished])
        residuals = torch.stack([torch.from_numpy(surface.nearest(part.numpy())[0]).mean() for part in transform(found, x)])
        best = max(range(samples), key=lambda k: shares[k])
        return Alignment.of(frame.outward(found), residuals * frame.unit, frame, best=best)

    def run(self, clouds: Clouds, samples: int, *, noise: NoiseLike = 0) -> Tensor:
        """Reverse runs from uniform rotations, in the network's frame and unit: motions (samples, 4, 4) of clouds (1, N, 3)."""
        denoiser, source = self.denoiser, as_noise(noise)
        ready = denoiser.features(clouds)
        parts = (ready.source, ready.source_normals, ready.target, ready.target_normals, *ready.features)
        x, n, y, m, f, g = (part.expand(samples, -1, -1) for part in parts)
        start = clouds.source.new_empty(samples, 3, 3)
        start = motion(nearest_rotation(source(start)), torch.zeros_like(start[..., 0]))
        out: Tensor = sample(
            Ancestral(),
            denoiser,
            self.process,
            start,
            steps=len(self.times) - 1,
            grid=self.times,
            given=Given(y=start, cond=Clouds(x, n, y, m, features=(f, g))),
            noise=source,
            init=start,
        )
        return out
