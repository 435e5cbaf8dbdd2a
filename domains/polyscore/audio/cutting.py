"""How recordings are cut for a model: into windows as long as its memory allows, at places where its frames begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from polyscore.audio.calls import Seams, check_windows
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.memory import fitting_batch, fitting_window, free_memory
from polyscore.audio.windows import Span, Windows

__all__ = ["Cutting"]

_BLENDED = 4  # windows that share one state


@dataclass(frozen=True, eq=False)
class Cutting:
    """The windows of one model.

    Args:
        model: what enhances; a network in it may say how much memory a frame takes.
        codec: waves to spectrograms, None for models of waves.
        sample_rate: of the model (Hz).
        frame_multiple: spectrograms have a multiple of this many frames.
        window_seconds: of a window, without its context.
        context_seconds: seen on each side beyond it.
    """

    model: nn.Module
    codec: SpectrogramCodec | None
    sample_rate: int
    frame_multiple: int
    window_seconds: float
    context_seconds: float

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters(), torch.empty(0)).device

    def seconds(self, chunk: float | Literal["auto"] = "auto") -> float:
        """Of a window: ``chunk``, or "auto" for ``window_seconds``, less where the free memory asks for it.

        Raises:
            InputError: a chunk that is not longer than 0.
        """
        check_windows(chunk, "context", 1)
        if chunk != "auto":
            return chunk
        if self.codec is None:
            return self.window_seconds
        frames = (self.codec.bins, self.sample_rate / self.codec.hop)
        return fitting_window(self.model, self.window_seconds, self.context_seconds, frames, free_memory(self.device))

    def batch(self, chunk: float | Literal["auto"] = "auto") -> int:
        """Windows in a network call: 1 on a CPU, elsewhere what fits in half of the free memory."""
        if self.codec is None:
            return 1
        frames = (self.codec.bins, self.sample_rate / self.codec.hop)
        return fitting_batch(self.model, self.seconds(chunk) + 2 * self.context_seconds, frames, self.device)

    def windows(self, chunk: float | Literal["auto"], seams: Seams = "context") -> Windows:
        """Cuts of a recording, in samples."""
        seconds = self.seconds(chunk)
        if seams == "blend" and self.codec is not None:
            # Cuts of the outer windows are cuts of the inner ones, so that neighbours see the same inner windows.
            core = self.blended(seconds)[0] * self.codec.hop
            return Windows(_BLENDED * core, core + core % 2)
        # Cuts lie on frames, so that a window's frames are frames of the whole recording.
        grid = 2 * (self.codec.hop if self.codec is not None else 1)
        context = round(min(self.context_seconds, seconds) * self.sample_rate / grid) * grid
        core = max(context, grid, round(seconds * self.sample_rate / grid) * grid)
        return Windows(core, context)

    def blended(self, seconds: float) -> tuple[int, int]:
        """Frames and overlap of the inner windows: multiples of what the network asks for, the overlap even."""
        assert self.codec is not None
        rate, even = self.sample_rate / self.codec.hop, self.frame_multiple * (1 + self.frame_multiple % 2)
        overlap = max(1, round(min(self.context_seconds, seconds) * rate / even)) * even
        return max(overlap, round(seconds * rate / even) * even), overlap

    def width(self, span: Span) -> int:
        """What windows must share to go through the network together: frames with their padding, or samples."""
        if self.codec is None:
            return span.length
        return -(-self.codec.frames(span.length) // self.frame_multiple)
