"""From data to noise and back: SDEdit, DDIM inversion, and inversion without any error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.editing import BDIA, EDICT, DDIMInverse, Path, decode, encode, inverse, invert, sdedit, times_from
from polyscore.errors import ConfigError, InputError
from polyscore.noise import Masked, Normal, Symmetric
from polyscore.processes import OUVE, VE, VP, Cosine, Flow, Product, ResShift
from polyscore.samplers import DDIM, DPMSolverPP, Heun, sample, times_of, trajectory
from polyscore.state import NONE, Given
from polyscore.steering import Counted
from polyscore.testing import GaussianDenoiser, ScalarMixtureDenoiser
from polyscore.testing.analytic import flow_of_gaussian

F64 = torch.float64
PROCESS = VP(0.1, 20.0)
MODEL = ScalarMixtureDenoiser(PROCESS)


def data(dtype: torch.dtype = F64, shape: tuple[int, ...] = (32, 6)) -> Tensor:
    return 0.7 * torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=F64).to(dtype)


def back_and_forth(solver: Any, denoiser: Any, process: Any, x: Any, given: Given = NONE, steps: int = 20) -> Any:
    latent = encode(solver, denoiser, process, x, steps=steps, given=given)
    return decode(solver, denoiser, process, latent, steps=steps, given=given)


# ----------------------------------------------------------------------------------------------- SDEdit
@pytest.mark.parametrize("strength", [0.3, 0.55, 1.0])
def test_sdedit_of_gaussian_data(strength: float) -> None:
    """x_s ~ N(a x, s^2) goes through the affine flow: the result is N(flow(a x), (r_0 / r_s)^2 s^2)."""
    model = GaussianDenoiser(PROCESS, 0.3, 0.7)
    x = torch.tensor([[-1.0, 0.2, 1.5]], dtype=F64).expand(4096, 3)
    out = sdedit(DPMSolverPP(), model, PROCESS, x, strength=strength, steps=40, noise=3)
    a, _, s = PROCESS.coefs_of(strength)
    mean = flow_of_gaussian(model, a * x[:1], strength, 0.0, NONE)[0]
    spread = float(s * 0.7 / torch.sqrt(a**2 * 0.49 + s**2))
    assert out.mean(0).tolist() == pytest.approx(mean.tolist(), abs=0.04)
    assert out.std(0).tolist() == pytest.approx([spread] * 3, rel=0.05)


def test_sdedit_is_the_sampler_from_a_noised_state() -> None:
    x, source = data(), 5
    assert sdedit(DDIM(1.0), MODEL, PROCESS, x, strength=0.0, steps=10) is x
    times = times_from(0.42, PROCESS, 10)
    assert times == pytest.approx([0.42, 0.36, 0.25, 0.16, 0.09, 0.04, 0.01, 0.0])
    begin = PROCESS.perturb(x, 0.42, noise=source).x
    expected = sample(DDIM(), MODEL, PROCESS, x, steps=7, grid=times, init=begin)
    assert torch.equal(sdedit(DDIM(), MODEL, PROCESS, x, strength=0.42, steps=10, noise=source), expected)
    with pytest.raises(InputError, match="start: 0"):
        times_from(0.0, PROCESS, 10)


# ----------------------------------------------------------------------------------------------- DDIM inversion
def test_the_error_of_ddim_inversion_is_of_first_order() -> None:
    found = []
    for steps in (20, 40, 80):
        path = invert(MODEL, PROCESS, data(), steps=steps)
        back = sample(DDIM(), MODEL, PROCESS, data(), steps=steps, grid=path.times, init=path.states[0])
        found.append(float((back - data()).abs().mean()))
    assert found[0] > 0.01
    assert found[0] / found[1] == pytest.approx(2, rel=0.15)
    assert found[1] / found[2] == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize(("solver", "most"), [(DDIMInverse(), 0.02), (DDIM(), 0.02), (Heun(), 0.001)])
def test_any_deterministic_sampler_rises_along_the_flow(solver: Any, most: float) -> None:
    path = invert(MODEL, PROCESS, data(), steps=80, solver=solver, floor=1e-3, start=0.7)
    assert path.times[0] == 0.7
    assert path.times[-1] == 1e-3
    exact = MODEL.flow(path.states[-1], 1e-3, 0.7, NONE)
    assert float((path.states[0] - exact).abs().mean()) < most


def test_inversion_with_an_end_point_and_with_leaves() -> None:
    process, model = OUVE(), ScalarMixtureDenoiser(OUVE())
    given = Given(y=data(shape=(32, 6)).flip(0))
    path = invert(model, process, data(), steps=200, given=given, floor=1e-3)
    back = sample(Heun(), model, process, data(), steps=path.steps, grid=path.times, init=path.states[0], given=given)
    assert float((back - path.states[-1]).abs().max()) < 0.06
    joint = Product(x=PROCESS, y=PROCESS)
    whole = invert(Halves(joint), joint, {"x": data(), "y": data().flip(0)}, steps=10)
    alone = invert(MODEL, PROCESS, data(), steps=10)
    assert torch.equal(whole.states[0]["x"], alone.states[0])


def test_a_path_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match="2 states at times"):
        Path((1.0, 0.5, 0.0), (data(), data()))
    path = invert(MODEL, PROCESS, data(), steps=4)
    assert (path.steps, path.index(0.5625)) == (4, 1)
    with pytest.raises(InputError, match=r"nothing at t = 0\.6"):
        path.index(0.6)


# ----------------------------------------------------------------------------------------------- exact inversion
@dataclass(frozen=True)
class Halves:
    """A denoiser of leaves: each on its own."""

    process: Product

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        x0 = {}
        for name, leaf in x.items():
            process: Any = self.process[name]
            x0[name] = ScalarMixtureDenoiser(process)(leaf, t[name] if isinstance(t, dict) else t, NONE).x0
        return Prediction(x0)


@pytest.mark.parametrize("process", [PROCESS, Cosine(), Flow(), VE(0.01, 5.0), OUVE(), ResShift()], ids=lambda p: str(p)[:8])
@pytest.mark.parametrize("gamma", [1.0, 0.96])
@pytest.mark.parametrize("steps", [7, 20])
def test_bdia_returns_the_data(process: Any, gamma: float, steps: int) -> None:
    given = Given(y=data().flip(0)) if isinstance(process, OUVE | ResShift) else NONE
    for dtype, most in ((F64, 1e-13), (torch.float32, 1e-5 if gamma < 1 else 3e-6)):
        x, given = data(dtype), Given(y=None if given.y is None else given.y.to(dtype))
        latent = encode(BDIA(gamma), ScalarMixtureDenoiser(process), process, x, steps=steps, given=given)
        back = decode(BDIA(gamma), ScalarMixtureDenoiser(process), process, latent, steps=steps, given=given)
        scale = max(1.0, float(latent[0].abs().max()))
        assert float((back - x).abs().max()) < most * scale


def test_round_trips_against_ddim() -> None:
    """The measured goals: BDIA 1e-6 in float32 on average, EDICT 1e-12 in float64; DDIM is off by a tenth."""
    single = data(torch.float32)
    assert float((back_and_forth(BDIA(), MODEL, PROCESS, single) - single).abs().mean()) < 1e-6
    assert float((back_and_forth(EDICT(), MODEL, PROCESS, data()) - data()).abs().max()) < 1e-12
    assert float((back_and_forth(EDICT(), MODEL, PROCESS, single) - single).abs().max()) > 1e-5
    path = invert(MODEL, PROCESS, data(), steps=20)
    ddim = sample(DDIM(), MODEL, PROCESS, data(), steps=20, grid=path.times, init=path.states[0])
    assert float((ddim - data()).abs().max()) > 0.05


def test_masked_graphs_and_complex_spectrograms() -> None:
    nodes = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]], dtype=F64)
    pairs = nodes[:, :, None] * nodes[:, None, :] * (1 - torch.eye(4, dtype=F64))
    process = Product(x=VP(law=Masked(Normal())), adj=VE(0.1, 1.0, law=Masked(Symmetric(), axes=(1, 2))))
    edges = data(shape=(2, 4, 4))
    state = {"x": data(shape=(2, 4, 3)) * nodes[..., None], "adj": (edges + edges.mT) * pairs}
    back = back_and_forth(BDIA(), Halves(process), process, state, Given(mask=nodes))
    assert all(float((back[name] - state[name]).abs().max()) < 1e-12 for name in state)
    x = torch.view_as_complex(data(shape=(2, 5, 7, 2)))
    y = torch.view_as_complex(data(shape=(2, 5, 7, 2)).flip(1))
    wave = back_and_forth(BDIA(), GaussianDenoiser(OUVE()), OUVE(), x, Given(y=y))
    assert float((wave - x).abs().max()) < 1e-12


@pytest.mark.parametrize(("solver", "calls"), [(BDIA(), 12), (EDICT(), 24)])
def test_calls(solver: Any, calls: int) -> None:
    model = Counted(MODEL)
    latent = encode(solver, model, PROCESS, data()[:1], steps=12)
    assert model.calls == calls
    decode(solver, model, PROCESS, latent, steps=12)
    assert model.calls <= 2 * calls
    assert solver.plan(PROCESS, times_of(PROCESS, 12)).nfe == calls


def test_bdia_without_looking_back_is_ddim() -> None:
    kwargs: Any = {"steps": 9, "noise": 4}
    assert torch.equal(sample(BDIA(0.0), MODEL, PROCESS, data(), **kwargs), sample(DDIM(), MODEL, PROCESS, data(), **kwargs))


@pytest.mark.parametrize("solver", [BDIA(), BDIA(0.5), EDICT()])
def test_both_sample_the_flow(solver: Any) -> None:
    """Errors against the exact flow fall at least at first order, and are no more than three of DDIM's."""
    x = torch.randn(64, 4, dtype=F64, generator=torch.Generator().manual_seed(2)) * PROCESS.coefs_of(0.9).s
    exact = MODEL.flow(x, 0.9, 0.0, NONE)
    errors = {}
    for steps in (40, 160):
        grid = torch.linspace(0.9, 0.0, steps + 1).tolist()
        for s in (solver, DDIM()):
            out = sample(s, MODEL, PROCESS, x, steps=steps, grid=grid, init=x)
            errors[type(s).__name__, steps] = float((out - exact).abs().mean())
    name = type(solver).__name__
    assert errors[name, 40] / errors[name, 160] > 2.5
    assert errors[name, 40] < 3 * errors["DDIM", 40]


def test_the_inverse_of_a_plan() -> None:
    plan = EDICT().plan(PROCESS, times_of(PROCESS, 5))
    back = inverse(plan)
    assert back.start == 0.0
    assert [s.ends for s in back.stages if s.ends is not None] == pytest.approx([0.04, 0.16, 0.36, 0.64, 1.0])
    for one, other in zip(inverse(back).stages, plan.stages, strict=True):
        assert (one.write, one.at, one.ends) == (other.write, other.at, other.ends)
        assert dict(one.states) == pytest.approx(dict(other.states))
        assert dict(one.preds) == pytest.approx(dict(other.preds))
    for impossible in (DDIM(), DDIM(1.0), DPMSolverPP(), Heun()):
        with pytest.raises(InputError, match="inverse: a stage"):
            inverse(impossible.plan(PROCESS, times_of(PROCESS, 5)))


def test_registers_start_a_plan_again() -> None:
    """A run cut in two at any step is the same run."""
    times = times_of(PROCESS, 8)
    frames = list(trajectory(BDIA(), MODEL, PROCESS, data(), steps=8, noise=1))
    latent = (frames[1].registers[0], frames[1].registers[1])
    plan = BDIA().plan(PROCESS, times)
    rest = type(plan)(times[2], plan.stages[2:], plan.registers, plan.history)
    assert torch.equal(sample(rest, MODEL, PROCESS, data(), init=latent), frames[-1].x)
    assert all(frame.registers == () for frame in trajectory(DDIM(), MODEL, PROCESS, data(), steps=2))


def test_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"gamma 1\.5"):
        BDIA(1.5)
    with pytest.raises(ConfigError, match="mixing 0"):
        EDICT(0.0)
    with pytest.raises(InputError, match="start the grid below"):
        EDICT().plan(Flow(), [1.0, 0.5, 0.0])
    with pytest.raises(InputError, match="1 steps, expected at least 2"):
        encode(BDIA(), MODEL, PROCESS, data(), steps=1)
