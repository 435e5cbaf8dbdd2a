r"""Stream batch: frames of an endless stream, each at another noise level, denoised in one call (StreamDiffusion).

With a grid of n steps, frame k is at step j while frame k + 1 is at step j - 1: every call of the denoiser takes up to n frames
at their own times t_0 ... t_{n-1}, finishes the oldest one and lets a new one in. The frames are those that one after the other
would give, n steps late; only the batch of the network's calls changes, which is where small batches lose time.

Source: Kodaira et al. 2023, arXiv 2312.12491.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Denoiser
from polyscore.errors import InputError
from polyscore.noise import Noise, NoiseLike, as_noise
from polyscore.state import NONE, Given

__all__ = ["StreamBatch"]


@dataclass
class _Frame:
    x: Tensor
    given: Given
    noise: Noise
    step: int = 0


class StreamBatch:
    """A stream of states through one denoiser: `push` a frame in, get the one that is finished.

    Args:
        denoiser: `denoiser(x, t, given) -> Prediction` with times (B,), one a frame.
        process: the forward process.
        times: the grid, from the level at which frames come in down to 0; n + 1 numbers.
        eta: stochasticity of the steps.

    Raises:
        InputError: a grid that does not fall.
    """

    def __init__(self, denoiser: Denoiser, process: Any, times: Sequence[float], *, eta: float = 0.0) -> None:
        self.denoiser, self.process, self.times, self.eta = denoiser, process, tuple(float(t) for t in times), eta
        if len(self.times) < 2 or any(a <= b for a, b in zip(self.times, self.times[1:], strict=False)):
            raise InputError(f"StreamBatch: times {self.times}; expected two or more, falling")
        self._inside: deque[_Frame] = deque()

    def push(self, x: Tensor, given: Given = NONE, *, noise: NoiseLike = 0) -> Tensor | None:
        """Let a frame in and move all frames one step on; the finished frame, or None while the stream fills.

        Args:
            x: (1, ...), the state at `times[0]`: pure noise, or a camera's picture noised by `process.perturb`.
            given: what is given for this frame; tensors (1, ...). All frames of a stream have the same structure.
            noise: of this frame's steps, where `eta` > 0.

        Raises:
            InputError: a state that is not one frame.
        """
        if x.ndim < 2 or len(x) != 1:
            raise InputError(f"StreamBatch: a frame of shape {tuple(x.shape)}; expected (1, ...)")
        self._inside.append(_Frame(x, given, as_noise(noise)))
        return self._advance()

    def drain(self) -> Iterator[Tensor]:
        """The frames that are still inside, in their order."""
        while self._inside:
            done = self._advance()
            if done is not None:
                yield done

    @torch.no_grad()
    def _advance(self) -> Tensor | None:
        frames = self._inside
        x, given = torch.cat([f.x for f in frames]), _joined([f.given for f in frames])
        t, u = (torch.tensor([self.times[f.step + k] for f in frames], dtype=torch.float64) for k in (0, 1))
        prediction = self.denoiser(x, t, given)
        moved = self.process.transition(
            x, prediction, t, u, eta=self.eta, given=given, noise=_Each(tuple(f.noise for f in frames))
        )
        for frame, row in zip(frames, torch.split(moved, 1), strict=True):
            frame.x, frame.step = row, frame.step + 1
        return frames.popleft().x if frames[0].step == len(self.times) - 1 else None


@dataclass(frozen=True)
class _Each:
    """Row i from source i."""

    sources: tuple[Noise, ...]

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        return torch.cat([source(row, t, u) for source, row in zip(self.sources, torch.split(like, 1), strict=True)])


def _joined(parts: Sequence[Any]) -> Any:
    """Trees of tensors (1, ...) as one of tensors (B, ...)."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if isinstance(first, Mapping):
        return {key: _joined([part[key] for part in parts]) for key in first}
    if isinstance(first, Given):
        return Given(*(_joined(list(column)) for column in zip(*parts, strict=True)))
    return first
