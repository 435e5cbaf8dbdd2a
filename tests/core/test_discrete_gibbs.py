"""Gibbs sampling: blocks of one cell leave the law as it is, larger ones do not; what is known stays."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.core.discrete_toy import CELLS, JOINT, SEQUENCES, VALUES, Exact, Steered, variation

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.processes.discrete import Absorbing, Replacing
from polyscore.samplers import Run, sample
from polyscore.samplers.discrete import Gibbs
from polyscore.state import NONE, Given

F64 = torch.float64


def law_after_one_block(cells: int) -> torch.Tensor:
    """The law of the sequences after a step with a block of `cells`, from the joint law: every block and every outcome, one row
    each."""
    process, noise = Absorbing(VALUES), Steered()
    blocks = torch.combinations(torch.arange(CELLS), cells)
    model, out = Exact(process), torch.zeros(len(SEQUENCES), dtype=F64)
    place = VALUES ** torch.arange(CELLS - 1, -1, -1)
    for block in blocks:
        hidden = SEQUENCES.clone()
        hidden[:, block] = process.mask_token
        p = model(hidden, 0.5, NONE).x0.exp()
        for want in torch.cartesian_prod(*[torch.arange(VALUES)] * cells).view(-1, cells):
            goal = SEQUENCES.clone()
            goal[:, block] = want
            here = p.gather(-1, goal.unsqueeze(-1)).squeeze(-1)
            below = p.cumsum(-1).gather(-1, goal.unsqueeze(-1)).squeeze(-1) - here
            keys = torch.full((len(SEQUENCES), CELLS), 0.9, dtype=F64)
            keys[:, block] = 0.1
            noise.queue += [keys, (below + here / 2).clamp(1e-15, 1 - 1e-15)]
            run = Run(model, process, (cells / CELLS, 0.0), NONE, noise)
            stepper = Gibbs()
            made = stepper.step(run, stepper.init(run, SEQUENCES), 0).x
            chance = here[:, block].prod(-1)
            assert torch.equal(made[chance > 1e-14], goal[chance > 1e-14])
            out.index_add_(0, (made * place).sum(1), JOINT * chance / len(blocks))
    return out


def test_one_cell_at_a_time_leaves_the_law_as_it_is() -> None:
    assert variation(law_after_one_block(1)) < 1e-12


def test_cells_of_a_block_do_not_see_each_other() -> None:
    assert 0.01 < variation(law_after_one_block(2)) < variation(law_after_one_block(4))


def test_the_block_is_the_share_of_the_free_cells_and_known_cells_stay() -> None:
    process, x = Absorbing(5), torch.randint(5, (3, 4, 10), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(3, 4, 10, dtype=torch.bool)
    mask[0, :2], mask[1, 0, :3] = True, True  # 20 and 3 free cells, and none
    asked: list[torch.Tensor] = []

    def model(x: Any, t: Any, given: Given) -> Prediction:
        asked.append(x == 5)
        return Prediction(torch.zeros(3, 4, 10, 5))

    made = sample(Gibbs(), model, process, x, steps=3, grid=[0.5, 0.3, 0.05, 0.0], given=Given(mask=mask), noise=1, init=x)
    assert [hidden.flatten(1).sum(1).tolist() for hidden in asked] == [[10, 2, 0], [6, 1, 0], [1, 1, 0]]
    assert torch.equal(made[~mask], x[~mask]) and int(made.max()) < 5
    holes = x.masked_fill(mask, 5)
    assert int(sample(Gibbs(), model, process, x, steps=1, grid=[0.1, 0.0], given=Given(mask=mask), init=holes).max()) < 5


def test_other_processes_are_refused() -> None:
    x = torch.zeros(1, 4, dtype=torch.long)
    with pytest.raises(InputError, match="absorbing"):
        sample(Gibbs(), lambda *_: Prediction(torch.zeros(1, 4, 3)), Replacing(3), x, steps=1, init=x)
