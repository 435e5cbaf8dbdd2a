"""The evaluation package on actions: a hasty expert is another law."""

from __future__ import annotations

import torch
from tests.evaluation_cells import Record, evaluate

from polyscore.robots.recording import record


def test_hasty_actions_are_told(record_property: Record) -> None:
    actions = torch.cat([episode.actions[:-1] for episode, _ in record(6, seed=3)]).float()
    moves = torch.cat([actions, actions.norm(dim=1, keepdim=True)], 1)[:500]
    moves = moves + 0.1 * moves.std(0) * torch.randn(moves.shape, generator=torch.Generator().manual_seed(0))
    names = [f"action {i}" for i in range(actions.shape[1])] + ["speed"]
    hasty = moves[::2].clone()
    hasty[:, -1] = 2.5 * hasty[:, -1]
    evaluate(moves, hasty, names, record_property, expected="speed")
