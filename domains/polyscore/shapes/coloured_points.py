r"""Coloured clouds from words, in two stages: the shape first, then its colour with the places held.

One network sees both at times of their own. Place is x_t = a x + s eps with colour at t = 1, of which nothing is left (it is
given as zeros); then colour is diffused in the same way with the places at t = 0. The second stage by itself recolours any
cloud, and the first can begin at a sketch with noise on it. The network predicts v = a eps - s x, so x0 = a x_t - s v.

Sources: Luo and Hu 2021, arXiv 2103.01458 (diffusion of points); Wu et al. 2023 (Sketch and Text Guided Diffusion Model for
Colored Point Cloud Generation: two stages), arXiv 2308.02874; Salimans and Ho 2022, arXiv 2202.00512 (v); Meng et al. 2022
(SDEdit), arXiv 2108.01073.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.editing import sdedit
from polyscore.errors import InputError, PolyscoreError
from polyscore.guidance import CFG, Interval, VendiGuidance
from polyscore.hub import Pretrained
from polyscore.noise import NoiseLike, Seeded, as_noise
from polyscore.processes import Cosine, GaussianProcess, expand
from polyscore.samplers import DDIM, sample
from polyscore.shapes.networks.point_set import PointSetNetwork
from polyscore.state import Given, State
from polyscore.variety import gaussian

__all__ = ["ColouredCloud", "ColouredPoints", "PointStage", "second_moments"]


class ColouredCloud(NamedTuple):
    """Places (B, N, 3), as the data's: the procedural solids fill [-1/2, 1/2]^3; and colours (B, N, 3) in [0, 1]."""

    xyz: Tensor
    rgb: Tensor


@dataclass(frozen=True)
class PointStage:
    """One of the two stages as a denoiser; `given.cond` holds "labels" (B, L) and, for colour, "xyz" (B, N, 3), scaled."""

    network: PointSetNetwork
    process: GaussianProcess
    stage: Literal["shape", "colour"]

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        """`x` (B, N, 3), `t` a number or (B,)."""
        time = torch.as_tensor(t, dtype=torch.float64, device=x.device).expand(len(x))
        if self.stage == "shape":
            out = self.network(x, torch.zeros_like(x), time, torch.ones_like(time), given.cond["labels"])[..., :3]
        else:
            xyz = given.cond["xyz"].expand_as(x)
            out = self.network(xyz, x, torch.zeros_like(time), time, given.cond["labels"])[..., 3:]
        a, _, s = (expand(c, time, x).to(x.dtype) for c in self.process.coefs(time))
        return Prediction(a * x - s * out)


def second_moments(clouds: State) -> Tensor:
    """The six second moments about the middle, (B, 6), of clouds (B, N, 3): what a shape's proportions are."""
    assert isinstance(clouds, Tensor)
    centred = clouds - clouds.mean(1, keepdim=True)
    rows, columns = torch.triu_indices(3, 3)
    return torch.einsum("bni,bnj->bij", centred, centred)[:, rows, columns] / clouds.shape[1]


def _alike(moments: Tensor) -> Tensor:
    return gaussian(moments, 0.05)


class ColouredPoints(Pretrained):
    """Draws coloured clouds of labels: `ColouredPoints.from_pretrained("points").sample(torch.tensor([[0, 0]]))`, a red chair.

    Args:
        network: sees places, colours and labels.
        process: of both stages; a variance-preserving one.
        scale: standard deviation of the places of the data.

    Raises:
        InputError: a scale that is not positive.
    """

    def __init__(self, network: PointSetNetwork, process: GaussianProcess | None = None, *, scale: float = 0.25) -> None:
        super().__init__()
        if not scale > 0:
            raise InputError(f"ColouredPoints: scale {scale}; expected a positive number")
        self.network, self.process, self.scale = network, Cosine(alpha_min=0.01) if process is None else process, scale

    def stage(self, name: Literal["shape", "colour"]) -> PointStage:
        """A stage as a denoiser of `process`."""
        return PointStage(self.network, self.process, name)

    @torch.no_grad()
    def sample(
        self,
        labels: Tensor,
        points: int = 1024,
        *,
        steps: int = 50,
        sampler: Any = None,
        guidance: float = 1.5,
        diverse: float = 0.0,
        seed: int = 0,
    ) -> ColouredCloud:
        """Clouds of labels (B, L), whole numbers; the number of classes itself means "not said". Cloud i has seed + i.

        Args:
            labels: what to draw.
            points: of each cloud.
            steps: of each stage.
            sampler: any sampler of `polyscore.samplers`; default DDIM with eta = 1, which is DDPM.
            guidance: scale of classifier-free guidance of the shape; 1 is none and costs half.
            diverse: how strongly the shapes of the batch keep apart by their second moments (`VendiGuidance`); 10 is much. A
                cloud then depends on the others.
            seed: of the first cloud.

        Raises:
            InputError: labels that the model does not know, no points, or a negative `diverse`.
            PolyscoreError: the model gave values that are not numbers.
        """
        labels = self._checked(labels)
        if points < 1:
            raise InputError(f"sample: {points} points; expected 1 or more")
        if diverse < 0:
            raise InputError(f"sample: diverse {diverse}; expected 0 or more")
        noise = Seeded(seed)
        like = next(self.parameters()).new_empty(len(labels), points, 3)
        x = self._run("shape", like, {"labels": labels}, steps, sampler, guidance, noise, diverse) * self.scale
        return ColouredCloud(x, self._paint(x, labels, steps, sampler, guidance, noise))

    @torch.no_grad()
    def follow(
        self,
        sketch: Tensor,
        labels: Tensor,
        *,
        strength: float = 0.6,
        steps: int = 50,
        sampler: Any = None,
        guidance: float = 1.5,
        seed: int = 0,
    ) -> ColouredCloud:
        """Clouds of labels (B, L) drawn over sketches (B, N, 3) in the data's scale: SDEdit, then colour. Cloud i has seed + i.

        The sketch is noised to time `strength` and drawn anew from there by the steps that are left. 0 keeps it point for point;
        1 is `sample`, up to the a(1) of the process that is left of the sketch.

        Args:
            sketch: points on the surface of the rough form.
            labels, steps, sampler, guidance, seed: as of `sample`.
            strength: from 0 to 1.

        Raises:
            InputError: clouds as `paint` refuses them, labels that do not fit, or a strength outside [0, 1].
            PolyscoreError: the model gave values that are not numbers.
        """
        labels = self._fitting("follow", sketch, labels)
        if not 0 <= strength <= 1:
            raise InputError(f"follow: strength {strength}; expected 0 (the sketch itself) to 1 (nothing of it)")
        noise = Seeded(seed)
        start = sketch.to(next(self.parameters())) / self.scale
        x = self._run("shape", start, {"labels": labels}, steps, sampler, guidance, noise, strength=strength) * self.scale
        return ColouredCloud(x, self._paint(x, labels, steps, sampler, guidance, noise))

    @torch.no_grad()
    def paint(
        self, xyz: Tensor, labels: Tensor, *, steps: int = 50, sampler: Any = None, guidance: float = 1.5, seed: int = 0
    ) -> Tensor:
        """Colours (B, N, 3) in [0, 1] for clouds (B, N, 3) in the data's scale: the second stage alone.

        Raises:
            InputError: clouds of another shape or with numbers that are not finite, or labels that do not fit.
        """
        labels = self._fitting("paint", xyz, labels)
        return self._paint(xyz.to(next(self.parameters())), labels, steps, sampler, guidance, as_noise(seed))

    def _paint(self, xyz: Tensor, labels: Tensor, steps: int, sampler: Any, guidance: float, noise: NoiseLike) -> Tensor:
        cond = {"labels": labels, "xyz": xyz / self.scale}
        return ((self._run("colour", xyz, cond, steps, sampler, guidance, noise) + 1) / 2).clamp(0, 1)

    def _run(
        self,
        name: Literal["shape", "colour"],
        like: Tensor,
        cond: Mapping[str, Tensor],
        steps: int,
        sampler: Any,
        guidance: float,
        noise: NoiseLike,
        diverse: float = 0.0,
        strength: float | None = None,
    ) -> Tensor:
        denoiser: Any = self.stage(name)
        if guidance != 1:
            unknown = torch.tensor(self.network.labels, device=like.device).expand_as(cond["labels"])
            denoiser = CFG(denoiser, null=lambda given: Given(cond={**given.cond, "labels": unknown}), scale=guidance)
        if diverse:
            apart = VendiGuidance(denoiser, self.process, _alike, scale=diverse, features=second_moments)
            denoiser = Interval(apart, denoiser, 0.3, 1.0)  # variety asked for until the end drives points off the surface
        settings: dict[str, Any] = {"steps": steps, "given": Given(cond=cond), "noise": noise}
        x: Tensor
        if strength is None:
            x = sample(sampler or DDIM(1.0), denoiser, self.process, like, **settings)
        else:
            x = sdedit(sampler or DDIM(1.0), denoiser, self.process, like, strength=strength, **settings)
        if not bool(torch.isfinite(x).all()):
            raise PolyscoreError("sample: the model gave values that are not numbers; was its training finished?")
        return x

    def _fitting(self, name: str, xyz: Tensor, labels: Tensor) -> Tensor:
        labels = self._checked(labels)
        if xyz.ndim != 3 or xyz.shape[-1] != 3 or len(xyz) != len(labels):
            raise InputError(f"{name}: clouds {tuple(xyz.shape)} and {len(labels)} labels; expected (B, N, 3) and one each")
        if not bool(torch.isfinite(xyz).all()):
            raise InputError(f"{name}: clouds with coordinates that are not finite numbers; take them out first")
        return labels

    def _checked(self, labels: Tensor) -> Tensor:
        most = torch.tensor(self.network.labels)
        if labels.ndim != 2 or labels.shape[-1] != len(most) or not len(labels) or labels.is_floating_point():
            raise InputError(f"labels: {labels.dtype} {tuple(labels.shape)}; expected whole numbers (B, {len(most)})")
        if bool(((labels < 0) | (labels > most)).any()):
            raise InputError(f"labels: {labels.tolist()[0]} ...; expected 0 to {most.tolist()}, which are 'not said'")
        return labels.to(next(self.parameters()).device)
