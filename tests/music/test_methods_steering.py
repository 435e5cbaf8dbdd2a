"""Chorales under selection: masked tokens are steered by the object that steers images."""

from __future__ import annotations

from typing import Any

import torch
from tests.evaluation_cells import Record
from torch import Tensor

from polyscore.music import Composer
from polyscore.music.grid import blank
from polyscore.samplers import Ancestral, sample
from polyscore.state import NONE, Given
from polyscore.steering import FeynmanKac, Rewarded, best_of, most_likely


def test_chorales_with_held_notes_are_selected(record_property: Record) -> None:
    """Cells that hold: the best of 8 under selection against the best of 8, and the mean of all; known cells stay."""
    model = Composer.from_pretrained("chorale")
    grid = blank(4, 1, fifths=0, minor=False, per_beat=model.per_beat)
    hold, count = model.high - model.low + 1, 32
    rows = model.known_rows({name: torch.from_numpy(row).unsqueeze(0) for name, row in grid.rows.items()})
    like = torch.full((count, *grid.tokens.shape), model.denoiser.process.mask_token)
    like[:, 0, :4] = torch.tensor([72 - model.low, hold, hold, hold])
    given = Given(cond=rows, mask=like == model.denoiser.process.mask_token)

    def held(x: Any, given: Given = NONE) -> Tensor:
        return torch.eq(x, hold).double().flatten(1).sum(1)

    @torch.no_grad()
    def drawn(sampler: Any) -> Tensor:
        out: Tensor = sample(sampler, model.denoiser, model.denoiser.process, like, steps=12, given=given, noise=0)
        return out

    plain = drawn(Ancestral())
    steered = drawn(FeynmanKac(Ancestral(), Rewarded(held, 1.0, look=most_likely), group=8, every=3))
    best, kept = (float(held(best_of(x, held, 8)).mean()) for x in (plain, steered))
    record_property("feynman-kac", f"held {kept:.1f}, best of 8 {best:.1f}, all {held(plain).mean():.1f} of 64")
    assert held(steered).mean() > held(plain).mean() + 2
    assert kept > best - 1
    for x in (plain, steered):
        assert torch.equal(x[:, 0, :4], like[:, 0, :4])
