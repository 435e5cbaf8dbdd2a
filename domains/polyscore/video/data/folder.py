"""Clips of a folder, with the motion that optical flow finds in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.films import read_film
from polyscore.training.draws import generator_of
from polyscore.video.data.layers import Clips
from polyscore.video.motion import estimate
from polyscore.video.motion.frames import grid, sample
from polyscore.video.scene import cover

__all__ = ["FolderOfClips"]

_SUFFIXES = {".mp4", ".mov", ".webm", ".avi", ".mkv", ".gif"}


class FolderOfClips:
    """Cuts of the clips in a folder and its subfolders, each with its own start, brought to `size` by covering and cropping.

    The flow is that of `polyscore.video.motion.estimate` on the cut. The
    clips are decoded through PyAV and kept in memory at the wanted size, so the folder should be one of thousands of frames, not
    of millions. There are no layers: tracks and boxes are empty.

    Args:
        folder: where the clips are.
        frames: T of a cut.
        size: (H, W) of a cut, at least 16.
        stride: every how many frames of a file one is taken.
        method: of the flow ("auto", "dis", "raft", "torch").

    Raises:
        InputError: no clips, clips too short, or frames under 16 pixels.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(
        self, folder: str, frames: int = 8, size: Sequence[int] = (32, 32), *, stride: int = 1, method: str = "auto"
    ) -> None:
        self.folder, self.frames, self.stride, self.method = os.fspath(folder), frames, stride, method
        self.size = (int(size[0]), int(size[1]))
        if frames < 2 or stride < 1 or min(self.size) < 16:
            found = f"{frames} frames of {self.size}, stride {stride}"
            raise InputError(f"FolderOfClips: {found}; expected 2 or more of at least 16 pixels, stride 1 or more")
        place = Path(folder)
        self.files = sorted(path for path in place.rglob("*") if path.suffix.lower() in _SUFFIXES) if place.is_dir() else []
        if not self.files:
            raise InputError(f"FolderOfClips: {place} holds no clips; expected {', '.join(sorted(_SUFFIXES))}")
        self._film = lru_cache(maxsize=None)(self._read)

    def __call__(self, seeds: Sequence[int]) -> Clips:
        """Cuts (B, 3, T, H, W)."""
        cuts = torch.stack([self._cut(seed) for seed in seeds])
        flows = [estimate(cut, self.method) for cut in cuts]
        empty = cuts.new_empty(len(cuts), 0, self.frames, 4)
        fields = [torch.stack([getattr(flow, name) for flow in flows]) for name in ("forward", "backward", "hidden", "revealed")]
        forward, backward, hidden, revealed = fields
        paths = [torch.zeros_like(forward[:, 0])]
        for step in forward.unbind(1):
            paths.append(paths[-1] + sample(step, grid(self.size) + paths[-1]))
        film = cuts.transpose(1, 2) * 2 - 1
        return Clips(film, forward, backward, hidden, revealed, empty[..., :2], empty, torch.stack(paths, 1))

    def _cut(self, seed: int) -> Tensor:
        generator = generator_of(seed)
        film = self._film(int(torch.randint(len(self.files), (), generator=generator)))
        span = (self.frames - 1) * self.stride + 1
        first = int(torch.randint(len(film) - span + 1, (), generator=generator))
        return film[first : first + span : self.stride].float() / 255

    def _read(self, number: int) -> Tensor:
        path = self.files[number]
        pictures, _ = read_film(path)
        if len(pictures) < (self.frames - 1) * self.stride + 1:
            raise InputError(
                f"{path}: {len(pictures)} frames; a cut takes {(self.frames - 1) * self.stride + 1}. Remove it, or ask for fewer"
            )
        film = torch.from_numpy(pictures).movedim(-1, 1)
        return torch.cat([(cover(part.float(), self.size)).round().clamp(0, 255).byte() for part in torch.split(film, 32)])
