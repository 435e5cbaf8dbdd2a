"""Training of composers: tokens become the model's categories, and what is not known is learnt to do without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from polyscore.errors import ConfigError, InputError
from polyscore.music.pipeline import Composer
from polyscore.training import (
    AdamW,
    Batch,
    DropCondition,
    ScoreTraining,
    Stratified,
    TimeDensity,
    Uniform,
    as_batch,
)
from polyscore.training.discrete import CategoricalObjective, MaskRatio

__all__ = ["ComposerTraining", "HideRows"]


_SHARES = {"fermata key mode": 0.08, "fermata": 0.04, "key mode": 0.03, "position bar fermata key mode": 0.01}


@dataclass(frozen=True)
class HideRows(DropCondition):
    """Sets condition rows to 0, "not known", together or by themselves, so that any of them may be missing later.

    A sample loses the rows of at most one entry: entry i with probability `shares[i]`. `rate`, `value` and `keys` are not read.

    Args:
        shares: rows and the share of the samples that are trained without them.

    Raises:
        InputError: a negative share, or shares of more than 1 together.
    """

    shares: Mapping[str, float] = field(default_factory=lambda: dict(_SHARES))

    def __post_init__(self) -> None:
        if min(self.shares.values(), default=0.0) < 0 or sum(self.shares.values()) > 1:
            raise InputError(f"HideRows: shares {dict(self.shares)}; expected numbers >= 0 that add up to at most 1")

    def __call__(self, cond: Any, draws: Tensor) -> Any:
        """`cond`, a mapping of rows (B, L), hidden by the draws (B,) uniform in [0, 1)."""
        out, start = dict(cond), 0.0
        for names, share in self.shares.items():
            gone = ((draws >= start) & (draws < start + share)).unsqueeze(1)
            start += share
            for name in names.split():
                if name in out:
                    out[name] = torch.where(gone.to(out[name].device), 0, out[name])
        return out


class ComposerTraining(ScoreTraining):
    """Trains a `Composer` on batches `{"x0": tokens (B, V, L), "cond": rows}`; the whole composer is exported.

    The loss is in nats a masked cell: with `MaskRatio` the mean cross-entropy over the n hidden cells of a window, n uniform,
    which is a bound on -log p of the window divided by its cells.

    Args:
        model: what is trained.
        objective: a discrete objective.
        times: the density of the share of hidden cells.
        drop: what of the conditions is hidden, and how often.
        optimiser: optimiser and learning rate.
        seed: of all draws.

    Raises:
        ConfigError: a model of another kind.
    """

    def __init__(
        self,
        model: Composer,
        objective: CategoricalObjective = MaskRatio(),  # noqa: B008
        times: TimeDensity = Stratified(Uniform()),  # noqa: B008
        *,
        drop: DropCondition | None = HideRows(),
        optimiser: AdamW = AdamW(),  # noqa: B008
        seed: int = 0,
    ) -> None:
        if not isinstance(model, Composer):
            raise ConfigError(f"ComposerTraining: the model is a {type(model).__name__}, expected a Composer")
        super().__init__(model, objective, times, drop=drop, optimiser=optimiser, seed=seed, to_batch=self.encoded)

    def encoded(self, batch: Any) -> Batch:
        """Tokens as categories and rows as the network reads them."""
        tokens, given, noise = as_batch(batch)
        if not isinstance(tokens, Tensor):
            raise InputError("ComposerTraining: the data is a mapping, expected tokens (B, V, L)")
        composer: Any = self.model
        return Batch(composer.encode(tokens), given._replace(cond=composer.known_rows(given.cond)), noise)
