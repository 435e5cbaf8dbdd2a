"""Songs of seven tracks from a trained GETMusic network: `SongModel.from_pretrained("getmusic.pth")`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.denoisers.tokens import TokenDenoiser
from polyscore.errors import InputError
from polyscore.guidance.tokens import Sharpened, Vocabulary
from polyscore.hub import load_as
from polyscore.music.getscore import ROWS, GetVocabulary
from polyscore.music.networks.roformer import GetRoformer
from polyscore.music.orders import lattice
from polyscore.music.pipeline import Writing
from polyscore.noise import Seeded
from polyscore.processes.discrete import Absorbing
from polyscore.samplers import sample
from polyscore.samplers.discrete import ByConfidence, FirstHitting, Gibbs, Unmasking
from polyscore.state import Given

__all__ = ["SongModel"]

_PICKLES = (".pth", ".pt", ".ckpt", ".bin")
_PAST = 128  # columns, eight bars, that a later window is shown of what is written


class SongModel(nn.Module):
    """Writes the hidden cells of GETScore grids.

    The original's process replaces no more than a millionth of the cells and is sampled as what it is, masked diffusion with a
    linear schedule; the network is told the index 100 t - 1.

    Args:
        network: of the grid's cells.
        vocabulary: its tokens.
        window: columns the network was trained on.
        writing: what `complete` does unless told otherwise.

    Raises:
        InputError: a vocabulary of another size than the network's.
    """

    def __init__(
        self,
        network: GetRoformer,
        vocabulary: GetVocabulary,
        *,
        window: int = 512,
        writing: Writing = Writing("random", 48),  # noqa: B008
    ) -> None:
        super().__init__()
        if network.tokens != len(vocabulary.tokens) or network.rows != ROWS or window < 2 * _PAST // 8:
            raise InputError(
                f"SongModel: a network of {network.tokens} tokens and {network.rows} rows, a vocabulary of "
                f"{len(vocabulary.tokens)}, a window of {window}; expected the same number of tokens, {ROWS} rows, at least 32"
            )
        self.network, self.vocabulary, self.window, self.writing = network, vocabulary, window, writing
        self.process = Absorbing(network.tokens + 1)

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str], *, vocabulary: str | os.PathLike[str] | None = None, device: str | torch.device = "cpu"
    ) -> SongModel:
        """A model saved here, or a checkpoint of GETMusic with its `dict.txt`, beside it unless said otherwise.

        Raises:
            CheckpointError: there is none, or it is of another kind.
        """
        if Path(path).suffix.lower() not in _PICKLES:
            return load_as(cls, path, device=device)
        from polyscore.music.upstream import read_roformer, read_vocabulary

        return cls(read_roformer(path), read_vocabulary(path, vocabulary)).to(device).eval()

    @torch.no_grad()
    def complete(
        self, grid: Tensor, source: Tensor, *, seeds: Sequence[int] = (0,), writing: Writing | None = None
    ) -> Iterator[Tensor]:
        """Write the hidden cells of a grid, once for every seed; yields (B, 14, L) after every window, complete at last.

        Windows of a long song overlap by eight bars: a later one is shown what was written before. A version depends on its seed
        alone. Calls a window: at most steps and sweeps, with "fhs" the number of hidden cells.

        Args:
            grid: (14, L) tokens; MASK where the model is to write, EMPTY where a track is absent.
            source: (14, L), 1 where cells are told as given.
            seeds: one a version.
            writing: how; default the model's own way.

        Raises:
            InputError: a grid of another shape.
        """
        if grid.ndim != 2 or grid.shape[0] != ROWS or source.shape != grid.shape:
            raise InputError(f"complete: a grid {tuple(grid.shape)}, sources {tuple(source.shape)}; expected (14, L) both")
        how, length = writing or self.writing, grid.shape[1]
        device = next(self.parameters()).device
        x = grid.to(device).expand(len(seeds), -1, -1).clone()
        told, past = source.to(device), min(_PAST, self.window // 4)
        for begin in range(0, max(length - past, 1), self.window - past):
            part = slice(begin, begin + self.window)
            if bool((x[..., part] == self.process.mask_token).any()):
                noise = Seeded([1_000_003 * seed + begin for seed in seeds])
                x[..., part] = self._written(x[..., part], told[:, part], how, noise)
            yield x

    def _written(self, like: Tensor, source: Tensor, how: Writing, noise: Seeded) -> Tensor:
        hidden = like == self.process.mask_token
        denoiser = TokenDenoiser(self.network, self.process, time="index")
        model = Vocabulary(denoiser, self._allowed().to(like.device))
        given = Given(cond={"source": source}, mask=hidden)
        samplers: dict[str, Any] = {
            "lattice": Unmasking(lattice(*like.shape[1:])),
            "random": Unmasking(),
            "fhs": FirstHitting(),
            "confidence": ByConfidence(how.scale),
        }
        soft: Any = Sharpened(model, temperature=how.temperature, top_p=how.top_p)
        out: Tensor = sample(samplers[how.order], soft, self.process, like, steps=how.steps, given=given, noise=noise)
        sweeps = how.sweeps or 0
        if sweeps:
            times = [*torch.linspace(*how.blocks, sweeps, dtype=torch.float64).tolist(), 0.0]
            again: Any = Sharpened(model, temperature=how.sweep_temperature, top_p=how.top_p)
            out = sample(Gibbs(), again, self.process, like, steps=sweeps, grid=times, given=given, noise=noise, init=out)
        return out

    def _allowed(self) -> Tensor:
        """(14, 1, N): each row's own tokens, and no EMPTY."""
        table = torch.from_numpy(self.vocabulary.allowed)
        return nn.functional.pad(table, (0, 1), value=False).unsqueeze(1)


