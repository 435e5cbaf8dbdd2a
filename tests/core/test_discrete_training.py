"""Objectives of discrete processes: bounds that are tight where they must be, gradients, GETMusic's losses, CDCD's contrast."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from tests.core.discrete_toy import CELLS, JOINT, SEQUENCES, VALUES, Exact, processes
from torch import Tensor, nn
from torch.nn import functional

from polyscore.denoisers import Prediction
from polyscore.denoisers.tokens import TokenDenoiser
from polyscore.errors import InputError
from polyscore.processes import VP, Product
from polyscore.processes.discrete import Absorbing, Cosine, Linear, MaskAndReplace, Polynomial, Replacing
from polyscore.samplers import sample
from polyscore.samplers.discrete import FirstHitting
from polyscore.state import NONE, Given
from polyscore.training import AdamW, ScoreTraining, Stratified, Uniform, X0Loss
from polyscore.training.discrete import (
    CrossEntropy,
    DiffusionELBO,
    MaskedELBO,
    MaskRatio,
    SampleContrast,
    StepContrast,
)
from polyscore.training.discrete.elbo import cross_entropy, divergence
from polyscore.training.leaves import LeafObjectives

F64 = torch.float64
BOTH = MaskAndReplace(VALUES, Polynomial(1.0), Polynomial(1.5))
ENTROPY = float(-(JOINT * JOINT.log()).sum())
SUBSETS = [s for n in range(1, CELLS + 1) for s in itertools.combinations(range(CELLS), n)]


def masked(cells: tuple[int, ...]) -> Tensor:
    x = SEQUENCES.clone()
    x[:, list(cells)] = VALUES
    return x


def expected(objective: Any, process: Absorbing, t: float, chance: dict[tuple[int, ...], float]) -> float:
    """E over data and masks of the sum of a sample's entries."""
    total, times = 0.0, torch.full((len(SEQUENCES),), t, dtype=F64)
    for cells, p in chance.items():
        x = masked(cells)
        loss = objective.entries(process, SEQUENCES, x, Exact(process)(x, 0.5, NONE).x0, times)
        total += p * float(JOINT @ loss.nan_to_num(0.0).sum(1))
    return total


def test_mask_ratio_of_the_exact_model_is_the_entropy() -> None:
    """n uniform in 1..D, subsets of size n alike: the bound of order-agnostic models, tight for exact conditionals."""
    process, total = Absorbing(VALUES, Cosine()), 0.0
    for n in range(1, CELLS + 1):
        chance = {s: 1 / math.comb(CELLS, n) for s in SUBSETS if len(s) == n}
        total += expected(MaskRatio(), process, float(process.time_at_mask(n / CELLS)), chance) / CELLS
    assert total == pytest.approx(ENTROPY, abs=1e-10)


@pytest.mark.parametrize("schedule", [Linear(), Polynomial(2.0), Cosine()], ids=repr)
def test_the_continuous_bound_is_tight_on_every_schedule(schedule: Any) -> None:
    """The integral of MaskedELBO over t by 24 Gauss points."""
    process, total = Absorbing(VALUES, schedule), 0.0
    for point, weight in zip(*np.polynomial.legendre.leggauss(24), strict=True):
        t = (point + 1) / 2
        share = float(process.coefs_of(t).mask)
        chance = {s: share ** len(s) * (1 - share) ** (CELLS - len(s)) for s in SUBSETS}
        total += weight / 2 * expected(MaskedELBO(), process, t, chance)
    assert total == pytest.approx(ENTROPY, abs=1e-7)


@pytest.mark.parametrize("process", [Absorbing(VALUES), Replacing(VALUES), BOTH], ids=lambda p: type(p).__name__)
def test_the_discrete_bound_falls_to_the_entropy_with_the_number_of_steps(process: Any) -> None:
    """E over data, i and all noised states, enumerated, plus the KL of the prior (0 here): above H, off by O(1 / T)."""
    k = process.tokens
    states = torch.tensor(list(itertools.product(range(k), repeat=CELLS)))
    x0 = SEQUENCES.repeat_interleave(len(states), 0)
    x = states.repeat(len(SEQUENCES), 1)
    gaps = []
    for steps in (6, 12):
        total = 0.0
        for i in range(1, steps + 1):
            t = i / steps
            chance = JOINT[:, None] * process.matrix(t)[SEQUENCES[:, None], states].prod(-1)
            seen = chance.flatten() > 0
            logits = Exact(process)(states, t, NONE).x0.nan_to_num(0.0).expand(len(SEQUENCES), -1, -1, -1).flatten(0, 1)
            times = torch.full((int(seen.sum()),), t, dtype=F64)
            loss = DiffusionELBO(steps).entries(process, x0[seen], x[seen], logits[seen], times)
            total += float(chance.flatten()[seen] @ loss.sum(1)) / steps
        gaps.append(total - ENTROPY)
    assert gaps[1] > 0
    assert 1.7 < gaps[0] / gaps[1] < 2.3


def test_mask_ratio_masks_so_many_cells() -> None:
    process, x0 = Absorbing(9, Cosine()), torch.randint(9, (4, 5, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(4, 5, 6, dtype=torch.bool)
    mask[:, :2] = True
    t = torch.tensor([0.01, 0.3, 0.5, 1.0], dtype=F64)
    x, time = MaskRatio().noised(process, x0, t, Given(mask=mask), 3)
    assert (x == 9).flatten(1).sum(1).tolist() == [1, 4, 6, 12]
    assert torch.equal(x[:, 2:], x0[:, 2:])
    assert torch.allclose(process.coefs_of(time).mask, torch.tensor([1, 4, 6, 12], dtype=F64) / 12, atol=1e-12)
    with pytest.raises(InputError, match="expected an absorbing process"):
        MaskRatio().noised(Replacing(9), x0, t, NONE, 3)


@pytest.mark.parametrize("process", processes(), ids=lambda p: f"{type(p).__name__}-{type(p.schedule).__name__}")
@pytest.mark.parametrize("objective", [DiffusionELBO(10, 1e-3), CrossEntropy()], ids=repr)
def test_gradients_are_right_and_finite(objective: Any, process: Any) -> None:
    x0 = torch.randint(VALUES, (3, 5), generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.1, 0.5, 1.0], dtype=F64)
    logits = torch.randn(3, 5, VALUES, generator=torch.Generator().manual_seed(1), dtype=F64, requires_grad=True)
    x, time = objective.noised(process, x0, t, NONE, 5)
    assert torch.autograd.gradcheck(lambda v: objective.entries(process, x0, x, v, time), (logits,), atol=1e-6)


def test_kl_vanishes_for_the_truth_alone() -> None:
    process = MaskAndReplace(4)
    x0 = torch.randint(4, (2, 30), generator=torch.Generator().manual_seed(0))
    x = process.perturb(x0, 0.5, noise=1).x
    t = torch.full((2,), 0.5, dtype=F64)
    sure = functional.one_hot(x0, 4).double().log()
    assert float(DiffusionELBO(100).entries(process, x0, x, sure, t).abs().max()) < 1e-12
    assert bool((DiffusionELBO(100).entries(process, x0, x, torch.zeros(2, 30, 4, dtype=F64), t)[x == 4] > 0).all())


def test_the_contrast_is_what_it_says() -> None:
    process, base = MaskAndReplace(6), DiffusionELBO(20, 1e-3)
    x0 = torch.randint(6, (5, 2, 7), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(5, 2, 7, 6, generator=torch.Generator().manual_seed(1), dtype=F64)
    t = torch.tensor([0.05, 0.3, 0.5, 0.8, 1.0], dtype=F64)

    def model(x: Tensor, t: Any, given: Given) -> Prediction:
        return Prediction(logits)

    plain = base(model, process, x0, t=t, noise=4)
    growing = (2 - 1 / 20 - (1 - t)).view(-1, 1, 1)  # (i - 1) / T + 1
    near = SampleContrast(base, 0.1, 3)(model, process, x0, t=t, noise=4)
    others = torch.stack([cross_entropy(logits, x0.roll(-k, 0)) for k in (1, 2, 3)]).mean(0)
    assert torch.allclose(plain - near, 0.1 * growing * others, atol=1e-12)

    two = x0[..., :2]  # the only shift of two places is by one
    logits = logits[..., :2, :]
    plain = base(model, process, two, t=t, noise=4)
    near = StepContrast(base, 0.1, 3)(model, process, two, t=t, noise=4)
    x, time = base.noised(process, two, t, NONE, 4)
    made = process.posterior(x, logits, time, time - 1 / 20)
    other = divergence(process.posterior(x, two.flip(-1), time, time - 1 / 20), made)
    assert torch.allclose(plain - near, 0.1 * growing * 20 * other, atol=1e-9)
    for bad in (lambda: SampleContrast(negatives=0), lambda: SampleContrast(base)(model, process, x0, t=t)):
        with pytest.raises(InputError, match="negatives"):
            bad()


def test_leaves_of_different_kinds_share_a_call() -> None:
    process = Product(pos=VP(), types=Absorbing(4))
    x0 = {"pos": torch.randn(3, 5, 2, dtype=F64), "types": torch.randint(4, (3, 5))}
    logits, calls = torch.randn(3, 5, 4, dtype=F64), []

    def model(x: Any, t: Any, given: Given) -> Prediction:
        calls.append(x)
        return Prediction({"pos": x["pos"], "types": logits})

    t = torch.tensor([0.2, 0.5, 0.9], dtype=F64)
    objective = LeafObjectives({"pos": X0Loss(), "types": CrossEntropy()}, {"types": 0.25})
    losses = objective(model, process, x0, t=t, noise=1)
    assert len(calls) == 1
    assert torch.allclose(losses["types"], 0.25 * cross_entropy(logits, x0["types"]))
    assert torch.allclose(losses["pos"], (x0["pos"] - calls[0]["pos"]) ** 2)
    assert list(objective(model, process, x0, t={"pos": 0.0, "types": t}, noise=1)) == ["types"]
    with pytest.raises(InputError, match="chooses its own time"):
        LeafObjectives({"types": MaskRatio()})


class Everything(nn.Module):
    """Logits of every cell from all cells of a ring of 8."""

    def __init__(self, tokens: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.table = nn.Embedding(tokens, 8)
        self.out = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 8 * classes))

    def forward(self, x: Tensor, time: Tensor | None, given: Given) -> Tensor:
        out: Tensor = self.out(self.table(x)).view(*x.shape, self.classes)
        return out


def test_training_and_sampling_learn_a_ring(tmp_path: Path) -> None:
    """x_{j+1} = x_j + 1 mod 4 around a ring of 8: a trained network and first-hitting draw nothing else."""
    torch.manual_seed(0)
    data = (torch.arange(8) + torch.arange(4)[:, None]).repeat(512, 1) % 4
    process = Absorbing(4)
    training = ScoreTraining(
        TokenDenoiser(Everything(5, 4), process), MaskRatio(), Stratified(Uniform()), optimiser=AdamW(1e-2, warmup=10)
    )
    trainer = lightning.Trainer(
        max_epochs=6,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        default_root_dir=tmp_path,
    )
    trainer.fit(training, torch.utils.data.DataLoader(data, batch_size=64))  # type: ignore[arg-type]
    with torch.no_grad():
        made = sample(FirstHitting(), training.denoiser, process, torch.zeros(300, 8, dtype=torch.long), steps=1, noise=5)
    right = ((made.roll(-1, 1) - made) % 4 == 1).all(1)
    assert float(right.double().mean()) > 0.97
    assert len(made[:, 0].unique()) == 4


# ------------------------------------------------------------------------------------------------------------- GETMusic
def test_getmusic_losses(reference: Path) -> None:
    """vb = (KL + aux) / p_t over the number of weighted cells, sources .5, absent cells 0."""
    with np.load(reference / "music/golden/getmusic_diffusion.npz") as file:
        golden = {key: torch.from_numpy(value) for key, value in file.items()}
    process, objective = MaskAndReplace(24), DiffusionELBO(100, 1e-3)
    x0 = golden["loss_x0"].flatten(1)
    there = golden["loss_not_empty_pos"].flatten(1).double()
    weight = there * (1 - 0.5 * golden["loss_condition_pos"].flatten(1).double())
    logits = functional.pad(golden["loss_net_logits"].double().log_softmax(-1), (0, 1), value=-70.0)  # EMPTY is never predicted
    for case in range(3):
        x, t = golden[f"loss{case}_xt"], (golden[f"loss{case}_t"].double() + 1) / 100
        entries = objective.entries(process, x0, x, logits, t)
        found = (weight * entries).sum(1) / (weight > 0).sum(1)
        assert torch.allclose(found, golden[f"loss{case}_vb_per_sample"], rtol=5e-5, atol=0)
        left = process.posterior(x, logits, t, t - 0.01)
        nll = -left.gather(-1, x0.unsqueeze(-1)).squeeze(-1).log()
        assert torch.allclose((weight * nll).sum(1) / (weight > 0).sum(1), golden[f"loss{case}_L0_per_sample"], rtol=5e-5, atol=0)
