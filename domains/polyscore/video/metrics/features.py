"""Features of clips without learned weights, for Frechet distances that go by the encoder's own name.

`RandomFeatures` is a fixed random network on the frames, -1 to 1, and four times their differences: two space-time convolutions
(3 x 5 x 5 and 3 x 3 x 3, stride 2 in space), each followed by a rectifier; the feature vector holds the mean and the standard
deviation of every channel of both layers over space and time. Random convolutions tell textures and motions apart well enough
for a distance (Naeem et al. 2020, arXiv 2002.09797, use random networks where learned ones are foreign to the data), and they
are the same everywhere: the weights come from a seed.

It is no FVD: numbers compare only with numbers of the same encoder, size and number of clips. For the published measure there is
`polyscore.video.metrics.published`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import InputError

__all__ = ["RandomFeatures"]


class RandomFeatures:
    """Maps a clip (T, 3, H, W) in [0, 1] to features (4 width,).

    Args:
        size: clips are brought to this height and width (area mean).
        width: channels of each layer.
        seed: of the weights.
    """

    def __init__(self, *, size: int = 32, width: int = 16, seed: int = 0) -> None:
        self.size, self.width, self.seed = size, width, seed
        generator = torch.Generator().manual_seed(seed)
        self._first = torch.randn(width, 6, 3, 5, 5, generator=generator) / (6 * 75) ** 0.5
        self._second = torch.randn(width, width, 3, 3, 3, generator=generator) / (width * 27) ** 0.5

    @property
    def name(self) -> str:
        """What a distance of these features is called."""
        return f"random_conv3d_{4 * self.width}"

    def __call__(self, film: Tensor) -> Tensor:
        """The features.

        Raises:
            InputError: another shape, or fewer than three frames.
        """
        if film.ndim != 4 or film.shape[1] != 3 or len(film) < 3:
            raise InputError(f"{self.name}: clip {tuple(film.shape)}; expected (3 frames or more, 3, H, W)")
        small = F.interpolate(film.float(), (self.size, self.size), mode="area")
        x = torch.cat([2 * small[1:] - 1, 8 * (small[1:] - small[:-1])], 1).movedim(0, 1)[None]
        found = []
        for weight, stride in ((self._first, (1, 2, 2)), (self._second, (1, 2, 2))):
            x = F.relu(F.conv3d(x, weight, stride=stride, padding=(1, weight.shape[3] // 2, weight.shape[4] // 2)))
            found += [x.mean((2, 3, 4))[0], x.std((2, 3, 4))[0]]
        return torch.cat(found)
