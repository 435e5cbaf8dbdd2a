"""A denoiser of long spectrograms from one of short ones: at every step it is evaluated in overlapping windows.

The state of the whole recording is held, with one noise field; only the network sees windows. With w_k the linear fades of
`polyscore.audio.windows` (sum_k w_k = 1, w_k = 0 on the outer half of a window's context),

    x0hat(x, t) = sum_k w_k x0hat(x on window k, t).

All windows share one state, so they agree on what they invent, where windows that are sampled separately may not. With a
network whose output depends on at most overlap / 2 frames to either side the samples are those of the whole recording,
whatever the sampler; its correctors see the whole state, too. Bar-Tal et al. 2023 (MultiDiffusion, arXiv:2302.08113) join
predictions in this way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.audio.windows import Windows
from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.guidance.wrapper import Wrapper
from polyscore.state import NONE, Given, LeafTime

__all__ = ["Windowed"]


@dataclass(frozen=True, eq=False)
class Windowed(Wrapper):
    """``denoiser`` in windows of ``frames`` frames with ``overlap`` more on each side (module docstring).

    Where the network asks for multiples of frames, both are such multiples, and so is the state's number of frames.

    Args:
        denoiser: of states (B, C, F, T).
        frames: from one cut to the next.
        overlap: seen beyond the cuts on each side; half of it is discarded, over the other half neighbours are mixed.
        batch_size: windows in a call.

    Raises:
        ConfigError: an overlap that is odd or longer than the frames.
        InputError: a prediction that brings its own eps.
    """

    frames: int
    overlap: int
    batch_size: int = 1

    def __post_init__(self) -> None:
        Windows(self.frames, self.overlap)

    @property
    def process(self) -> Any:
        """The denoiser's process."""
        return self.denoiser.process  # type: ignore[attr-defined]

    def given(self, noisy: Tensor) -> Given:
        """End point and conditioning for the noisy spectrogram (B, 1, F, T), as the denoiser makes them, window by window."""
        make = getattr(self.denoiser, "given", None)
        if make is None:
            return Given(y=noisy, cond=noisy)

        def joined(windows: Tensor) -> Tensor:
            made: Given = make(windows.flatten(0, 1))
            out = torch.cat([made.y, *_parts(made.cond)], dim=1)
            return out.reshape(*windows.shape[:2], *out.shape[1:])

        y, *cond = torch.split(self._windows(joined, noisy), noisy.shape[1], dim=1)
        return Given(y=y, cond=tuple(cond))

    def __call__(self, x: Tensor, t: LeafTime, given: Given = NONE) -> Prediction:
        """Predict x0 (B, C, F, T) from the state x at time t (a number, or one per sample)."""
        ends = _parts(given.y)

        def predict(*windows: Tensor) -> Tensor:
            state, *rest = (part.flatten(0, 1) for part in windows)
            time = t.repeat(len(windows[0])) if isinstance(t, Tensor) and t.ndim else t
            there = Given(y=rest[0] if ends else None, cond=tuple(rest[len(ends) :]) or None)
            prediction = self.denoiser(state, time, there)
            if prediction.eps is not None:
                raise InputError("Windowed: the wrapped denoiser brings its own eps; put the windows inside: CFG(Windowed(...))")
            x0: Tensor = prediction.x0
            return x0.reshape(*windows[0].shape[:2], *x0.shape[1:])

        return Prediction(self._windows(predict, x, *ends, *_parts(given.cond)))

    def _windows(self, function: Callable[..., Tensor], *signals: Tensor) -> Tensor:
        return Windows(self.frames, self.overlap)(function, *signals, batch_size=self.batch_size)


def _parts(value: Any) -> tuple[Tensor, ...]:
    return () if value is None else tuple(value) if isinstance(value, tuple | list) else (value,)
