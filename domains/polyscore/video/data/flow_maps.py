"""Flow maps from a few arrows: training data of the first stage of Motion-I2V (Shi et al. 2024, arXiv 2401.15977)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import InputError
from polyscore.training.draws import generator_of, seed_of
from polyscore.training.order import whole
from polyscore.video.data.layers import Clips, ClipSource
from polyscore.video.data.module import VideoData

__all__ = ["FlowMapData", "FlowMaps", "arrow_map"]


def arrow_map(feet: Tensor, moves: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    """Arrows as a picture (3, H, W): dx and dy in units of `scale` pixels and a one, on the 3 x 3 pixels around each foot.

    Args:
        feet: (N, 2), x and y in pixels.
        moves: (N, 2), the displacement in the last frame.
    """
    out = torch.zeros(3, size[0] + 2, size[1] + 2)
    for (x, y), move in zip(feet.round().long().tolist(), moves, strict=True):
        if 0 <= x < size[1] and 0 <= y < size[0]:
            out[:2, y : y + 3, x : x + 3] = (move / scale)[:, None, None]
            out[2, y : y + 3, x : x + 3] = 1
    return out[:, 1:-1, 1:-1]


class FlowMaps(Dataset[dict[str, Any]]):
    """Examples {"x0" (B, 2, T, H, W), "cond": {"picture" (B, 7, H, W)}}: where pixels of the first frame go, in units of `scale`.

    `picture` is the first frame, a channel of ones, and the arrows (`arrow_map`) of up to `arrows` pixels, half of them chosen
    among those that move; a clip may have none.
    """

    def __init__(
        self, source: ClipSource, count: int, *, arrows: int = 4, scale: float = 8.0, seed: int = 0, start: int = 0
    ) -> None:
        self.source, self.count, self.arrows, self.scale, self.seed, self.start = source, count, arrows, scale, seed, start

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A whole batch."""
        numbers = [self.start + int(i) for i in indices]
        clips = self.source([seed_of(self.seed, "clip", number) for number in numbers])
        drawn = [self._arrows(clips, row, number) for row, number in enumerate(numbers)]
        first = clips.film[:, :, 0]
        picture = torch.cat([first, torch.ones_like(first[:, :1]), torch.stack(drawn)], 1)
        return {"x0": clips.paths.transpose(1, 2) / self.scale, "cond": {"picture": picture}}

    def _arrows(self, clips: Clips, row: int, number: int) -> Tensor:
        generator = generator_of(self.seed, "arrows", number)
        last = clips.paths[row, -1].flatten(1)
        count = int(torch.randint(self.arrows + 1, (), generator=generator))
        moving = (last.norm(dim=0) > 0.5).nonzero()[:, 0]
        cells = torch.randint(last.shape[1], (count,), generator=generator)
        if len(moving):
            of_moving = moving[torch.randint(len(moving), (count,), generator=generator)]
            cells = torch.where(torch.arange(count) % 2 == 0, of_moving, cells)
        width = self.source.size[1]
        feet = torch.stack([cells % width, cells // width], 1).double()
        return arrow_map(feet, last[:, cells].T, self.source.size, self.scale)


class FlowMapData(VideoData):
    """Batches of `FlowMaps`, new ones every epoch.

    Args:
        source, batch_size, items_per_epoch, validation_items, workers, seed: as for `VideoData`.
        arrows: most arrows of an example.
        scale: pixels that become 1.

    Raises:
        InputError: a scale that is not positive.
    """

    def __init__(
        self,
        source: ClipSource,
        batch_size: int = 16,
        items_per_epoch: int = 1600,
        *,
        validation_items: int = 64,
        arrows: int = 4,
        scale: float = 8.0,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            source, batch_size, items_per_epoch, validation_items=validation_items, noise=None, workers=workers, seed=seed
        )
        if scale <= 0 or arrows < 0:
            raise InputError(f"FlowMapData: scale {scale}, arrows {arrows}; expected a positive scale, 0 or more arrows")
        self.arrows, self.scale = arrows, scale

    def _loader(self, count: int, start: int, seed: int, *, drop_last: bool) -> DataLoader[dict[str, Any]]:
        data = FlowMaps(self.source, count, arrows=self.arrows, scale=self.scale, seed=seed, start=start)
        return DataLoader(data, self.batch_size, collate_fn=whole, num_workers=self.workers, drop_last=drop_last)

