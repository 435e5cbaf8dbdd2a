r"""How well a composer knows music: the masked-diffusion bound in nats a token.

For a window x of D cells and an absorbing process, with n uniform in 1..D and M a uniformly random set of n cells,

    -log p(x) / D  <=  E_n E_M  1/n sum over cells i in M of  -log p(x_i | x outside M),

the cost of writing the cells in a random order (Uria et al. 2014, arXiv 1310.1757; Ou et al. 2025, arXiv 2406.03736). The
estimate takes n evenly spread over a window's draws, and the same cells whatever the model, so that two models are compared on
equal terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscore.music.data.windows import Windows
from polyscore.music.grid import Grid
from polyscore.music.pipeline import Composer
from polyscore.state import Given
from polyscore.training.discrete.elbo import cross_entropy
from polyscore.training.draws import generator_of

__all__ = ["nats_per_token"]


@torch.no_grad()
def nats_per_token(
    composer: Composer,
    grids: Sequence[Grid],
    *,
    draws: int = 4,
    without: Sequence[str] = (),
    given: Sequence[int] = (),
    batch_size: int = 32,
    seed: int = 0,
) -> tuple[float, float]:
    """The bound over the pieces' windows (end to end, as long as the composer's), and its standard error over windows.

    Args:
        composer: the model.
        grids: pieces with the composer's voices.
        draws: how often each window is hidden, with n in even strata.
        without: condition rows that are not told.
        given: voices that are known, so that the others' cells alone are hidden and counted.
        batch_size: windows a call.
        seed: of the hidden cells.

    Raises:
        InputError: no piece is as long as a window.
    """
    data = Windows(grids, composer.window, every=composer.window)
    device = next(composer.parameters()).device
    values: list[Tensor] = []
    for first in range(0, len(data), batch_size):
        batch: Any = data.__getitems__(range(first, min(first + batch_size, len(data))))
        rows = {name: row.to(device) for name, row in batch["cond"].items() if name not in without}
        x0 = composer.encode(batch["x0"].to(device))
        told, free = Given(cond=composer.known_rows(rows)), _free(x0, given)
        losses = [_loss(composer, x0, told, free, (seed, first, draw), (draw, draws)) for draw in range(draws)]
        values.append(torch.stack(losses).mean(0))
    means = torch.cat(values).double().cpu().numpy()
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")


def _free(x0: Tensor, given: Sequence[int]) -> Tensor:
    free = torch.ones_like(x0, dtype=torch.bool)
    free[:, list(given)] = False
    return free


def _loss(
    composer: Composer, x0: Tensor, told: Given, free: Tensor, key: tuple[int, ...], stratum: tuple[int, int]
) -> Tensor:
    """Mean cross-entropy of the hidden cells of each window, (B,); n is in stratum i of k."""
    generator = generator_of(*key)
    cells = int(free[0].sum())
    keys = torch.rand(x0.shape, generator=generator).to(x0.device).masked_fill(~free, torch.inf).flatten(1)
    u = (stratum[0] + torch.rand(len(x0), generator=generator)) / stratum[1]
    n = torch.ceil(u * cells).clamp(1, cells).to(x0.device)
    hidden = (keys.argsort(1).argsort(1) < n.unsqueeze(1)).view_as(x0)
    logits = composer.denoiser(torch.where(hidden, composer.denoiser.process.mask_token, x0), 0.5, told).x0
    return (cross_entropy(logits, x0) * hidden).flatten(1).sum(1) / n
