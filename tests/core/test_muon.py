"""Muon: matrices inside take orthogonal steps, the rest Adam's; both resume; and the decay at the end of a run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polyscore.errors import ConfigError, InputError
from polyscore.training import AdamW, Muon


class Small(nn.Module):
    """A table, a block and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(5, 8), nn.Linear(8, 3)
        self.blocks = nn.ModuleList([nn.Linear(8, 16), nn.Linear(16, 8, bias=False)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.blocks[1](self.blocks[0](self.table(x)).relu()))
        return out


def made() -> Small:
    torch.manual_seed(0)
    return Small()


def step(model: Small, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    x = torch.tensor([0, 1, 2, 3, 4, 0])
    nn.functional.cross_entropy(model(x), torch.tensor([0, 1, 2, 0, 1, 2])).backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def test_matrices_inside_move_along_orthogonal_ones_and_the_rest_as_with_adam() -> None:
    settings = {"learning_rate": 1e-2, "betas": (0.9, 0.98)}
    one, other = made(), made()
    step(one, Muon(**settings, matrix_rate=0.1, matrix_decay=0.0).build_for(one))  # type: ignore[arg-type]
    step(other, AdamW(**settings).build_for(other))  # type: ignore[arg-type]
    torch.testing.assert_close(one.table.weight, other.table.weight)
    torch.testing.assert_close(one.blocks[0].bias, other.blocks[0].bias)
    start = made()
    for layer, scale in ((0, 2**0.5), (1, 1.0)):  # sqrt(max(1, rows / columns))
        moved = (start.blocks[layer].weight - one.blocks[layer].weight).detach() / (0.1 * scale)  # type: ignore[operator]
        values = torch.linalg.svdvals(moved)
        rank = int((values > 0.3).sum())
        assert rank >= 4 and float(values[:rank].max()) < 1.3  # five Newton-Schulz steps bring them near 1


def test_a_resumed_run_is_the_same_run() -> None:
    whole, first = made(), made()
    a, b = Muon().build_for(whole), Muon().build_for(first)
    for _ in range(4):
        step(whole, a)
    for _ in range(2):
        step(first, b)
    second = made()
    second.load_state_dict(first.state_dict())
    c = Muon().build_for(second)
    c.load_state_dict(b.state_dict())
    assert [group["lr"] for group in c.param_groups] == [group["lr"] for group in b.param_groups]
    for _ in range(2):
        step(second, c)
    for p, q in zip(whole.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0)
    with pytest.raises(InputError, match="parts"):
        c.load_state_dict(AdamW().build_for(second).state_dict())


def test_the_schedule_acts_on_all_groups_also_after_loading() -> None:
    model = made()
    optimiser = Muon(learning_rate=1e-3, matrix_rate=0.02).build_for(model)
    optimiser.load_state_dict(optimiser.state_dict())
    schedule = Muon(warmup=4).schedule(optimiser, 10)
    assert sorted({group["lr"] for group in optimiser.param_groups}) == pytest.approx([1e-3 / 4, 0.02 / 4])
    step(model, optimiser)
    schedule.step()
    assert sorted({group["lr"] for group in optimiser.param_groups}) == pytest.approx([1e-3 / 2, 0.02 / 2])
    assert optimiser.parts[0].param_groups[0]["lr"] == pytest.approx(0.01)


def test_the_tail_is_a_straight_line_over_the_last_share() -> None:
    rule = AdamW(decay="tail", tail=0.2, warmup=10)
    assert [rule.factor(n, 100) for n in (0, 9, 50, 80, 90, 95, 100)] == pytest.approx([0.1, 1, 1, 1, 0.5, 0.25, 0])
    assert AdamW(decay="tail", floor=0.1).factor(100, 100) == pytest.approx(0.1)


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="matrices"):
        Muon(inside="nothing").build_for(made())
    with pytest.raises(InputError, match="momentum"):
        Muon(momentum=1.0)
    with pytest.raises(InputError, match="tail"):
        AdamW(decay="tail", tail=0.0)
