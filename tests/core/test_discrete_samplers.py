"""Samplers of discrete processes against laws that are enumerated; calls, rows, seeds and known cells of every one of them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tests.core.discrete_toy import CELLS, VALUES, Exact, outcomes, processes, propagated, variation
from tests.core.test_discrete_processes import fits
from torch import Tensor
from torch.nn import functional

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.noise import Symmetric
from polyscore.processes.discrete import Absorbing, CategoricalProcess, Cosine, LogLinear, MaskAndReplace, Polynomial, Replacing
from polyscore.processes.discrete.categorical import Shares
from polyscore.samplers import Ancestral, sample, trajectory
from polyscore.samplers.discrete import (
    ByConfidence,
    EulerJumps,
    FirstHitting,
    Remasking,
    TauLeaping,
    Unmasking,
    reverse_rates,
)
from polyscore.state import NONE, Given

F64 = torch.float64
BOTH = MaskAndReplace(VALUES, Polynomial(1.0), Polynomial(1.5))
MASKED = [Ancestral(), FirstHitting(), Unmasking(), ByConfidence(), ByConfidence(2.0), Remasking(0.5), EulerJumps(), TauLeaping()]
NAMED = pytest.mark.parametrize("sampler", MASKED, ids=repr)


def grid(n: int, start: float = 1.0) -> list[float]:
    return torch.linspace(start, 0, n + 1, dtype=F64).tolist()


# -------------------------------------------------------------------------------------------------- laws, by enumeration
@pytest.mark.parametrize("schedule", [Polynomial(1.0), Cosine()], ids=repr)
def test_first_hitting_draws_the_joint_law_exactly(schedule: Any) -> None:
    """All 24 orders and 81 sequences through the stepper itself; what is left is rounding."""
    process = Absorbing(VALUES, schedule)
    assert variation(outcomes(FirstHitting(), process, [1.0, 0.0], largest_first=True)) < 1e-12


def test_one_cell_a_step_is_exact_in_any_order() -> None:
    assert variation(outcomes(Unmasking(), Absorbing(VALUES), grid(CELLS), largest_first=False)) < 1e-12


def ancestral(process: CategoricalProcess, n: int) -> float:
    return variation(propagated(process, grid(n), process.posterior))


def test_groups_of_equal_size_lose_less_than_ancestral_steps() -> None:
    process = Absorbing(VALUES)
    for n in (1, 2, 3):
        groups = variation(outcomes(Unmasking(), process, grid(n), largest_first=False))
        assert groups < ancestral(process, n) + 1e-12
        assert groups > 0.01  # and they are not exact


@pytest.mark.parametrize("process", [Absorbing(VALUES), Replacing(VALUES), BOTH], ids=lambda p: type(p).__name__)
def test_the_ancestral_error_halves_with_the_step(process: CategoricalProcess) -> None:
    """The chain's law by exact propagation over all states: cells move independently, which costs O(1 / N)."""
    errors = [ancestral(process, n) for n in (12, 24, 48)]
    for coarse, fine in itertools.pairwise(errors):
        assert 1.85 < coarse / fine < 2.15
    assert errors[-1] < 0.04


@pytest.mark.parametrize("jumps", [EulerJumps(), TauLeaping()], ids=repr)
@pytest.mark.parametrize("process", [Absorbing(VALUES, LogLinear(1e-6)), Replacing(VALUES)], ids=lambda p: type(p).__name__)
def test_jumps_converge_with_the_first_order(jumps: Any, process: CategoricalProcess) -> None:
    """From t = 1 (t = .999 where rates are infinite at 1) to .1 by jumps, to 0 by the process's own transition."""
    start = 1.0 if process.masks else 0.999

    def step(x: Tensor, logits: Tensor, t: float, u: float) -> Tensor:
        if u == 0:
            return process.posterior(x, logits, t, u)
        rates = reverse_rates(process, x.flatten(), logits.flatten(0, 1), t)
        total = rates.sum(-1, keepdim=True)
        moved = jumps.share((t - u) * total) * rates / total.clamp(min=1e-300)
        out = functional.pad(moved, (0, int(process.masks)))
        here = functional.one_hot(x.flatten(), process.tokens).to(F64)
        return (out + here * (1 - out.sum(-1, keepdim=True))).view(*x.shape, process.tokens)

    # the error of the last step does not shrink; it is the same for all, so differences of laws show the order
    laws = [propagated(process, [*torch.linspace(start, 0.1, n + 1, dtype=F64).tolist(), 0.0], step) for n in (20, 40, 80, 160)]
    moves = [float((b - a).abs().sum()) for a, b in itertools.pairwise(laws)]
    for coarse, fine in itertools.pairwise(moves):
        assert 1.6 < coarse / fine < 2.4


@pytest.mark.parametrize("process", processes(), ids=lambda p: f"{type(p).__name__}-{type(p.schedule).__name__}")
def test_rates_are_the_slope_of_the_posterior(process: CategoricalProcess) -> None:
    t, h = 0.57, 1e-6
    x = torch.arange(process.tokens)
    logits = torch.randn(process.tokens, process.classes, generator=torch.Generator().manual_seed(8), dtype=F64)
    rates = reverse_rates(process, x, logits.log_softmax(-1), t)
    slope = process.posterior(x[None], logits[None], t, t - h)[0, :, : process.classes] / h
    off = ~functional.one_hot(x, process.tokens).bool()[:, : process.classes]
    assert float(((rates - slope) * off).abs().max()) < 1e-4
    assert not bool((rates * ~off).any())


@pytest.mark.parametrize("jumps", [EulerJumps(), TauLeaping()], ids=repr)
def test_a_jump_is_drawn_from_its_rates(jumps: Any) -> None:
    process, many, (t, u) = Replacing(4, Polynomial(1.3), (1.0, 2.0, 3.0, 4.0)), 60_000, (0.5, 0.35)
    x = torch.arange(4)[:, None].expand(4, many)
    logits = torch.randn(4, 1, 4, generator=torch.Generator().manual_seed(8), dtype=F64)
    run = trajectory(jumps, lambda *_: Prediction(logits.expand(4, many, 4)), process, x, steps=2, grid=[t, u, 0.0], init=x)
    made = next(run).x
    counts = torch.stack([(made == k).sum(1) for k in range(4)], -1).to(F64)
    rates = reverse_rates(process, torch.arange(4), logits[:, 0].log_softmax(-1), t)
    total = rates.sum(-1, keepdim=True)
    p = jumps.share((t - u) * total) * rates / total
    p = p + torch.diag(1 - p.sum(-1))
    assert fits(counts, p) < 4.5


# ------------------------------------------------------------------------------------------------------------ remasking
def test_remasking_by_zero_is_the_ancestral_sampler() -> None:
    process, like = Absorbing(5), torch.zeros(3, 30, dtype=torch.long)
    logits = torch.randn(3, 30, 5, generator=torch.Generator().manual_seed(0))
    made = [sample(s, lambda *_: Prediction(logits), process, like, steps=9, noise=6) for s in (Remasking(0.0), Ancestral())]
    assert torch.equal(*made)


@pytest.mark.parametrize("sampler", [Remasking(), Remasking(0.4), Remasking(cap=0.03)], ids=repr)
def test_remasking_keeps_the_marginals(sampler: Remasking) -> None:
    """With a model that knows the data, the share of masked cells is 1 - alpha at every time, and cells come and go."""
    process, x0 = Absorbing(4, Cosine()), torch.randint(4, (2, 40_000), generator=torch.Generator().manual_seed(0))
    sure = functional.one_hot(x0, 4).double().log()
    before, again = torch.full_like(x0, 4), 0
    for frame in trajectory(sampler, lambda *_: Prediction(sure), process, x0, steps=8, noise=3):
        share = float(process.coefs_of(frame.t).mask)
        assert abs(float((frame.x == 4).double().mean()) - share) < 0.008
        assert bool(((frame.x == x0) | (frame.x == 4)).all())
        again += int(((frame.x == 4) & (before != 4)).sum())
        before = frame.x
    assert again > 500
    assert torch.equal(before, x0)


def test_remasking_within_a_window_only() -> None:
    run: Any = type("run", (), {"process": Absorbing(3)})
    sampler = Remasking(between=(0.3, 0.6))
    assert [sampler.sigma(run, t, t - 0.1) > 0 for t in (0.9, 0.6, 0.4, 0.2)] == [False, True, True, False]
    assert sampler.sigma(run, 0.5, 0.4) == pytest.approx(0.4 / 0.5)  # min(1, (1 - A_u) / A_t)


# ----------------------------------------------------------------------------------------- order, calls, rows and seeds
class Counted:
    """Rows of fixed logits on request, which counts calls and rows."""

    def __init__(self, logits: Tensor) -> None:
        self.logits, self.calls, self.asked, self.times = logits, 0, 0, list[Any]()

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        self.calls += 1
        self.times.append(t)
        return Prediction(self)

    def rows(self, cells: Tensor) -> Tensor:
        self.asked += len(cells)
        return self.logits.flatten(0, -2)[cells]


def pattern(kind: int) -> Tensor:
    """Cells to be made, (3, 4, 6) bool: none, one sample's, all, ragged."""
    mask = torch.zeros(3, 4, 6, dtype=torch.bool)
    mask[1:2] = kind == 1
    mask |= torch.tensor(kind == 2)
    if kind == 3:
        mask = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(1)) < torch.tensor([0.1, 0.5, 0.9])[:, None, None]
    return mask


@NAMED
@pytest.mark.parametrize("kind", range(4))
def test_every_run_ends_and_leaves_known_cells_alone(sampler: Any, kind: int) -> None:
    process, mask = Absorbing(7, LogLinear(1e-3)), pattern(kind)
    known = torch.randint(7, (3, 4, 6), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(3, 4, 6, 7, generator=torch.Generator().manual_seed(2))
    model = Counted(logits)
    made = sample(sampler, model, process, known, steps=5, given=Given(mask=mask), noise=8)
    assert torch.equal(made[~mask], known[~mask])
    assert int(made.max()) < 7
    most = int(mask.flatten(1).sum(1).max())
    bound = most if isinstance(sampler, FirstHitting) else 5 if isinstance(sampler, Remasking) else min(5, most)
    assert model.calls <= bound
    if not isinstance(sampler, ByConfidence | Remasking | EulerJumps | TauLeaping):
        assert model.asked == int(mask.sum())  # the rows of the cells that were revealed, each once


@NAMED
def test_a_sample_depends_on_its_seed_alone(sampler: Any) -> None:
    process = Absorbing(5, LogLinear())
    mask = pattern(3)
    like, logits = torch.zeros(3, 4, 6, dtype=torch.long), torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(2))

    def model(x: Tensor, t: Any, given: Given) -> Prediction:
        near = functional.one_hot(x, 6)[..., :5].float().roll(1, -2)  # cells see each other
        return Prediction(logits.expand(len(x), 4, 6, 5) + 2 * near)

    together = sample(sampler, model, process, like, steps=6, given=Given(mask=mask), noise=[40, 50, 60])
    for i, seed in enumerate((40, 50, 60)):
        alone = sample(sampler, model, process, like[:1], steps=6, given=Given(mask=mask[i : i + 1]), noise=[seed])
        assert torch.equal(alone[0], together[i])


def test_steps_that_reveal_nothing_cost_no_call() -> None:
    """Ancestral steps far finer than there are cells: as many calls as reveals, whatever the network's time input."""
    model = Counted(torch.zeros(1, 6, 3))
    sample(Ancestral(), model, Absorbing(3), torch.zeros(1, 6, dtype=torch.long), steps=400, noise=1)
    assert model.calls == 6


def test_first_hitting_asks_each_sample_at_its_own_time() -> None:
    process, model = Absorbing(3, Cosine()), Counted(torch.zeros(2, 5, 3))
    sample(FirstHitting(), model, process, torch.zeros(2, 5, dtype=torch.long), steps=1, noise=1)
    times = torch.stack(model.times)  # (5, 2)
    assert bool((times.diff(dim=0) < 0).all()) and not torch.equal(times[:, 0], times[:, 1])
    # C of the first of five hitting times has the mean 5/6
    many = Counted(torch.zeros(4000, 5, 3))
    next(trajectory(FirstHitting(), many, process, torch.zeros(4000, 5, dtype=torch.long), steps=1, noise=1))
    assert abs(float(process.coefs_of(many.times[0]).mask.mean()) - 5 / 6) < 0.01


def test_an_order_is_kept() -> None:
    """A lattice: even places first, then odd ones; ties by chance."""
    process, like = Absorbing(3), torch.zeros(2, 3, 8, dtype=torch.long)
    order = (torch.arange(8) % 2).expand(3, 8)
    frames = list(trajectory(Unmasking(order), Counted(torch.zeros(2, 3, 8, 3)), process, like, steps=4, noise=1))
    hidden = [frame.x == 3 for frame in frames]
    assert [int(h[0].sum()) for h in hidden] == [18, 12, 6, 0]
    assert not bool(hidden[1][..., ::2].any()) and bool(hidden[1][..., 1::2].all())
    assert not torch.equal(hidden[0][0], hidden[0][1])
    with pytest.raises(InputError, match="broadcasts to the state"):
        sample(Unmasking(torch.zeros(5)), Counted(torch.zeros(2, 3, 8, 3)), process, like, steps=4)


def test_confidence_takes_the_surest_first() -> None:
    sure = torch.tensor([1.0, 5.0, 3.0, 0.5, 4.0, 2.0])
    logits = torch.stack([sure * 4, *[torch.zeros(6)] * 2], -1)[None]
    frames = trajectory(ByConfidence(), Counted(logits), Absorbing(3), torch.zeros(1, 6, dtype=torch.long), steps=3, noise=2)
    left = [torch.nonzero(frame.x[0] == 3).flatten().tolist() for frame in frames]
    assert left == [[0, 2, 3, 5], [0, 3], []]


# --------------------------------------------------------------------------------------------------- precision of draws
class Even:
    """Equal logits of every class, as a view."""

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        return Prediction(self)

    def rows(self, cells: Tensor) -> Tensor:
        return torch.zeros(1, 1).expand(len(cells), self.classes)


def test_no_class_is_lost_at_small_steps_and_naive_gumbel_loses_most() -> None:
    """65,536 classes, dt = 1e-3: a class of probability p is drawn with p dt = 1.5e-8, below the 2^-24 of a float32 uniform.

    Gumbel-max over {stay, classes} in float32 multiplies its chance by y / (e^y - 1), y = 2^-24 / (p dt) = 3.9: .08. Where the
    classes have equal logits the largest Gumbel variable is that of the largest uniform, so only that is made, by its exact law.
    """
    classes, dt = 2**16, 1e-3
    process = Absorbing(classes)
    cells = 400_000
    made = process.transition(torch.full((1, cells), classes), Even(classes)(torch.zeros(1), 0, NONE), 1.0, 1 - dt, noise=3)
    shown = made[made < classes]
    counts = torch.tensor([[cells - len(shown), int((shown < classes // 2).sum()), int((shown >= classes // 2).sum())]])
    expected = torch.tensor([[1 - dt, dt / 2, dt / 2]], dtype=F64)
    assert fits(counts.to(F64), expected) < 4

    generator = torch.Generator().manual_seed(0)
    assert bool((torch.rand(4096, generator=generator) * 2**24 % 1 == 0).all())  # what torch's float32 uniforms are
    most = -torch.log(-torch.log(torch.tensor(1 - 2**-24)))
    assert abs(float(most) - 16.6355) < 1e-4  # so no Gumbel variable exceeds this
    few = 100_000
    best = torch.floor(2**24 * torch.rand(few, generator=generator, dtype=F64) ** (1 / classes)) / 2**24  # of 65,536 such
    gumbel = [-(-u.float().clamp(min=1e-30).log()).log() for u in (best, torch.rand(few, generator=generator))]
    revealed = int((gumbel[0] + torch.tensor(dt / classes).log() > gumbel[1] + torch.tensor(1 - dt).log()).sum())
    naive = torch.tensor([[few - revealed, revealed]], dtype=F64)
    assert fits(naive, torch.tensor([[1 - dt, dt]], dtype=F64)) > 3
    assert revealed < 0.3 * few * dt


def test_three_classes_at_small_steps() -> None:
    """Chi-square with the rarest class at 1e-5 a step."""
    p = torch.tensor([0.9, 0.09, 0.01], dtype=F64)
    x = torch.full((1, 1_000_000), 3)
    logits = type("Rows", (), {"rows": lambda self, cells: p.log().expand(len(cells), 3)})()
    made = Absorbing(3).transition(x, Prediction(logits), 0.501, 0.5, noise=7)
    counts = torch.bincount(made[0], minlength=4).to(F64)
    expected = 1_000_000 * torch.cat([p * (1 - 0.5 / 0.501), torch.tensor([0.5 / 0.501], dtype=F64)])
    assert float(((counts - expected) ** 2 / expected).sum()) < 16.3  # 99.9 % of chi-square with 3 degrees of freedom


# ------------------------------------------------------------------------------------------------------------ bad input
def test_what_does_not_fit_is_named() -> None:
    like, model = torch.zeros(1, 4, dtype=torch.long), Counted(torch.zeros(1, 4, 3))
    for sampler in (FirstHitting(), Unmasking(), ByConfidence(), Remasking()):
        with pytest.raises(InputError, match="expected an absorbing process and a tensor"):
            sample(sampler, model, Replacing(3), like, steps=2)
        with pytest.raises(InputError, match="noised one by one"):
            sample(sampler, model, Absorbing(3, law=Symmetric()), torch.zeros(1, 2, 2, dtype=torch.long), steps=2)
    with pytest.raises(InputError, match="no finite rate at t = 1"):
        sample(EulerJumps(), model, Replacing(3), like, steps=2)
    with pytest.raises(InputError, match="scale"):
        ByConfidence(-1.0)
    with pytest.raises(InputError, match="Remasking"):
        Remasking(cap=1.5)


def test_the_toy_is_exact() -> None:
    """What the enumerations lean on: shares that add up, and a denoiser whose mean over noised data is the data's law."""
    process = processes()[-1]
    assert isinstance(process.coefs_of(0.5), Shares)
    x = torch.tensor([[3, 3, 3, 3], [0, 3, 1, 3]])
    p = Exact(Absorbing(VALUES))(x, 0.7, NONE).x0.exp()
    assert torch.allclose(p.sum(-1), torch.ones(2, CELLS, dtype=F64))
    assert torch.equal(p[1, 0], torch.tensor([1.0, 0.0, 0.0], dtype=F64))
