"""Edits that keep the rest: noise maps, direct inversion, null-text, DDCM, CODE, interpolation; on models in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Prediction
from polyscore.editing import (
    DDCM,
    Confident,
    DirectInversion,
    NoiseMaps,
    NullText,
    Paired,
    Renoise,
    WithLastDraw,
    ascend,
    code,
    dpm_encoder,
    edit_friendly,
    halves,
    infedit,
    invert,
    joined,
    noise_diffusion,
    noise_maps,
    null_text,
    slerp,
)
from polyscore.editing.path import Path
from polyscore.errors import ConfigError, InputError
from polyscore.guidance import CFG
from polyscore.noise import Masked, Normal, Recorded, Seeded
from polyscore.processes import OUVE, VE, VP, Cosine, Flow, Product, expand
from polyscore.samplers import DDIM, sample, trajectory
from polyscore.state import NONE, Given
from polyscore.testing import GaussianDenoiser, ScalarMixtureDenoiser

F64 = torch.float64
PROCESS = VP(0.1, 20.0)
MODEL = ScalarMixtureDenoiser(PROCESS)


def data(shape: tuple[int, ...] = (32, 6), dtype: torch.dtype = F64) -> Tensor:
    return 0.7 * torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=F64).to(dtype)


class Conditional(nn.Module):
    """x0 ~ N(m_c, 0.5^2) entry by entry with a table of means m; class 2 is "no class", the mixture's rough mean 0."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, 6, dtype=F64)
        self.table.weight.data = torch.tensor([[-1.0] * 3 + [0.5] * 3, [1.0] * 3 + [0.5] * 3, [0.0] * 6], dtype=F64)

    def forward(self, x: Tensor, t: Any, given: Given) -> Prediction:
        mean = self.table(given.cond)
        time = torch.as_tensor(t, dtype=F64)
        a, _, s = (expand(c, time, x) for c in PROCESS.coefs_of(time))
        return Prediction(mean + a * 0.25 * (x - a * mean) / (a**2 * 0.25 + s**2))


CLASSES = Conditional()
NULL = Given(cond=torch.tensor([2]))


def of_class(label: int, count: int = 32) -> Given:
    return Given(cond=torch.full((count,), label))


# ----------------------------------------------------------------------------------------------- noise maps
@pytest.mark.parametrize("process", [PROCESS, Cosine(), Flow(), VE(0.01, 5.0), OUVE()], ids=lambda p: str(p)[:7])
@pytest.mark.parametrize("encoder", [edit_friendly, dpm_encoder])
@pytest.mark.parametrize("eta", [1.0, 0.5])
def test_noise_maps_give_the_data_back(process: Any, encoder: Any, eta: float) -> None:
    for dtype, most in ((F64, 1e-12), (torch.float32, 1e-5)):
        x, model = data(dtype=dtype), ScalarMixtureDenoiser(process)
        given = Given(y=x.flip(0)) if isinstance(process, OUVE) else NONE
        maps = encoder(model, process, x, steps=12, eta=eta, given=given)
        for skip in (0, 5, 11):
            assert float((maps.replay(model, process, given=given, skip=skip) - x).abs().max()) < most


def test_the_draws_of_a_run_are_found_again() -> None:
    """Maps of a path that the sampler itself made are the noise it drew, and 0 for its last step."""
    draws = [torch.randn(32, 6, dtype=F64, generator=torch.Generator().manual_seed(k)) for k in range(9)]
    frames = list(trajectory(DDIM(1.0), MODEL, PROCESS, data(), steps=9, init=data(), noise=Recorded(draws)))
    path = Path((1.0, *(frame.t for frame in frames)), (data(), *(frame.x for frame in frames)))
    maps = noise_maps(MODEL, PROCESS, path)
    for found, drawn in zip(maps.draws[:-1], draws, strict=False):
        torch.testing.assert_close(found, drawn, rtol=0, atol=1e-9)
    assert float(maps.draws[-1].abs().max()) < 1e-12
    plain = sample(DDIM(1.0), MODEL, PROCESS, data(), steps=9, init=data(), noise=Recorded(draws))
    last = [*draws[:-1], torch.zeros(32, 6, dtype=F64)]
    drawn_last = sample(WithLastDraw(DDIM(1.0)), MODEL, PROCESS, data(), steps=9, init=data(), noise=Recorded(last))
    assert torch.equal(plain, drawn_last)


def test_the_two_kinds_of_maps_differ_as_published() -> None:
    """Posterior paths give nearly white noise; independent ones give variance above 1 and neighbours that are anticorrelated."""
    x = data((2048, 2))
    white, edit = (f(MODEL, PROCESS, x, steps=20, noise=3) for f in (dpm_encoder, edit_friendly))

    def statistics(maps: NoiseMaps) -> tuple[float, float]:
        z = torch.stack(maps.draws[4:14])
        return float(z.var()), float((z[1:] * z[:-1]).mean() / z.var())

    assert 0.9 < statistics(white)[0] < 1.4
    assert abs(statistics(white)[1]) < 0.05
    assert statistics(edit)[0] > 2
    assert statistics(edit)[1] < -0.3


def test_maps_of_leaves_and_what_flipping_them_does() -> None:
    nodes = torch.tensor([[1, 1, 0], [1, 1, 1]], dtype=F64)
    process = Product(a=VP(law=Masked(Normal())), b=VE(0.1, 1.0))
    state = {"a": data((2, 3, 2)) * nodes[..., None], "b": data((2, 4))}

    def joint(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction({n: GaussianDenoiser(process[n], 0.0, 0.6)(x[n], t, NONE).x0 for n in x})  # type: ignore[arg-type]

    for encoder in (edit_friendly, dpm_encoder):
        maps = encoder(joint, process, state, steps=8, given=Given(mask=nodes))
        back = maps.replay(joint, process, given=Given(mask=nodes))
        assert all(float((back[n] - state[n]).abs().max()) < 1e-12 for n in state)
    odd = GaussianDenoiser(PROCESS, 0.0, 0.6)  # D(-x) = -D(x)
    maps = edit_friendly(odd, PROCESS, data(), steps=8)
    path = Path(maps.path.times, tuple(-state for state in maps.path.states))
    flipped = NoiseMaps(path, tuple(-z for z in maps.draws)).replay(odd, PROCESS)
    torch.testing.assert_close(flipped, -data(), rtol=0, atol=1e-12)


def test_maps_between_maps() -> None:
    """The ends are the data; for Gaussian data the middle of white maps is a draw of the same law."""
    x = 0.6 * torch.randn(4096, 2, dtype=F64, generator=torch.Generator().manual_seed(1))
    model = GaussianDenoiser(PROCESS, 0.0, 0.6)
    one, other = (dpm_encoder(model, PROCESS, data, steps=25, noise=seed) for data, seed in ((x, 1), (x.flip(0), 9000)))
    for weight, end in ((0.0, x), (1.0, x.flip(0))):
        torch.testing.assert_close(one.towards(other, weight).replay(model, PROCESS), end)
    assert float(one.towards(other, 0.5).replay(model, PROCESS).std()) == pytest.approx(0.6, abs=0.06)
    with pytest.raises(InputError, match="differ in their times"):
        one.towards(dpm_encoder(model, PROCESS, x, steps=5), 0.5)


@pytest.mark.parametrize("encoder", [edit_friendly, dpm_encoder])
def test_another_class_moves_what_differs_and_keeps_the_rest(encoder: Any) -> None:
    """Classes differ in the first three entries, by 2; the others come back exactly."""
    x = CLASSES.table.weight.data[0] + 0.5 * torch.randn(32, 6, dtype=F64, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        maps = encoder(CLASSES, PROCESS, x, steps=30, given=of_class(0))
        edited = maps.replay(CLASSES, PROCESS, given=of_class(1))
    assert float((edited - x)[:, 3:].abs().max()) < 1e-12
    assert (edited - x)[:, :3].mean().item() == pytest.approx(2.0, abs=0.05)
    with pytest.raises(InputError, match="eta 0"):
        noise_maps(CLASSES, PROCESS, maps.path, eta=0.0, given=of_class(0))


# ----------------------------------------------------------------------------------------------- pairs
def test_pairs_share_their_noise() -> None:
    both = joined(data(), data())
    draw = Paired(7)(both)
    assert torch.equal(draw[:32], draw[32:])
    assert torch.equal(draw[:32], Seeded(7)(data()))
    assert torch.equal(halves(both)[1], data())
    with pytest.raises(InputError, match="a batch of 31"):
        halves(data()[:31])


@pytest.mark.parametrize("scale", [1.0, 3.0, 7.5])
def test_direct_inversion_keeps_the_source_at_any_scale(scale: float) -> None:
    x = data()
    with torch.no_grad():
        path = invert(CLASSES, PROCESS, x, steps=20, given=of_class(0))
        given = Given(cond=joined(of_class(0).cond, of_class(1).cond))
        guided = CFG(CLASSES, NULL, scale)
        begin, kwargs = joined(path.states[0], path.states[0]), {"steps": 20, "grid": path.times, "given": given}
        out = sample(DDIM(), DirectInversion(guided, PROCESS, path), PROCESS, begin, init=begin, **kwargs)  # type: ignore[arg-type]
        plain = sample(DDIM(), guided, PROCESS, begin, init=begin, **kwargs)  # type: ignore[arg-type]
    assert float((halves(out)[0] - x).abs().max()) < 1e-12
    assert torch.equal(halves(out)[1], halves(plain)[1])
    assert float((halves(plain)[0] - x).abs().max()) > 0.02


def test_direct_inversion_with_an_end_point() -> None:
    model, x = ScalarMixtureDenoiser(OUVE()), data()
    given = Given(y=x.flip(0))
    path = invert(model, OUVE(), x, steps=10, given=given)
    both, twice = joined(path.states[0], path.states[0]), Given(y=joined(given.y, given.y))
    out = sample(DDIM(), DirectInversion(model, OUVE(), path), OUVE(), both, steps=10, grid=path.times, given=twice, init=both)
    assert float((halves(out)[0] - x).abs().max()) < 1e-12


def test_ddcm() -> None:
    """The same condition returns the source bit for bit; another one moves it by the difference of the classes."""
    x = CLASSES.table.weight.data[0] + 0.5 * torch.randn(32, 6, dtype=F64, generator=torch.Generator().manual_seed(4))
    pair = [Given(cond=joined(of_class(0).cond, of_class(k).cond)) for k in (0, 1)]
    with torch.no_grad():
        same, other = (infedit(CLASSES, PROCESS, x, steps=12, given=given) for given in pair)
        ode = infedit(CLASSES, PROCESS, x, steps=12, given=pair[0], sampler=DDIM(), start=0.6)
    assert torch.equal(same, x)
    assert torch.equal(ode, x)
    assert float((other - x)[:, 3:].abs().max()) < 1e-12
    assert (other - x)[:, :3].mean().item() == pytest.approx(2.0, abs=0.05)


def test_renoise_samples_a_consistency_function() -> None:
    """With the flow's own map to 0 in place of the denoiser every number of steps draws from the data's law."""

    def consistent(x: Tensor, t: Any, given: Given) -> Prediction:
        return Prediction(MODEL.flow(x, float(t), 0.0, NONE))

    generator = torch.Generator().manual_seed(0)
    second = torch.rand(8192, dtype=F64, generator=generator) < 0.4
    spread = torch.where(second, 0.2, 0.3).sqrt()
    real = torch.where(second, 0.6, -0.5) + spread * torch.randn(8192, dtype=F64, generator=generator)
    for steps in (1, 3):
        x = sample(Renoise(), consistent, PROCESS, torch.empty(1024, 4, dtype=F64), steps=steps, noise=8)
        for order in (1, 2, 4):
            assert float((x**order).mean()) == pytest.approx(float((real**order).mean()), abs=0.06)
    plan = Renoise().plan(PROCESS, [1.0, 0.4, 0.0])
    assert (plan.nfe, plan.draws) == (2, 1)


# ----------------------------------------------------------------------------------------------- null-text
def test_null_text_brings_guidance_back_to_the_data() -> None:
    x, given = data(), of_class(0)
    with torch.no_grad():
        path = invert(CLASSES, PROCESS, x, steps=15, given=given)
    kwargs: Any = {"steps": 15, "grid": path.times, "given": given, "init": path.states[0]}
    found = null_text(CLASSES, PROCESS, path, CLASSES.table, null=NULL, scale=5.0, iterations=25, rate=0.2, given=given)
    with torch.no_grad():
        back = sample(DDIM(), found, PROCESS, x, **kwargs)
        plain = sample(DDIM(), CFG(CLASSES, NULL, 5.0), PROCESS, x, **kwargs)
        ddim = sample(DDIM(), CLASSES, PROCESS, x, **kwargs)
        for scale, base in ((1.0, CLASSES), (4.0, CFG(CLASSES, NULL, 4.0, passes=2))):
            neutral = NullText(CLASSES, NULL, scale, CLASSES.table, path)
            assert torch.equal(sample(DDIM(), neutral, PROCESS, x, **kwargs), sample(DDIM(), base, PROCESS, x, **kwargs))
    error, guided, unguided = (float((out - x).square().mean()) for out in (back, plain, ddim))
    assert error < 0.1 * guided
    assert error < 0.2 * unguided
    assert len(found.offsets) == 15
    assert not CLASSES.table._forward_hooks
    assert float(CLASSES.table.weight.data[2].abs().max()) == 0.0


# ----------------------------------------------------------------------------------------------- CODE
def test_langevin_steps_keep_the_law() -> None:
    model = GaussianDenoiser(PROCESS, 0.3, 0.7)
    a, _, s = (float(c) for c in PROCESS.coefs_of(0.4))
    x = torch.zeros(4096, 2, dtype=F64)
    out = ascend(model, PROCESS, x, 0.4, updates=60, rate=0.1, noise=5)
    assert float(out.mean()) == pytest.approx(a * 0.3, abs=0.03)
    spread = a**2 * 0.49 + s**2
    shrink = 1 - 0.1 * s**2 / spread  # x <- shrink (x - m) + sqrt(0.2) s eps has this variance in the end
    assert float(out.var()) == pytest.approx(0.2 * s**2 / (1 - shrink**2), rel=0.05)


def test_code_moves_outliers_into_the_data() -> None:
    """Far outside a Gaussian, the result is closer to it the later it is moved; neutral settings are inversion and back."""
    model = GaussianDenoiser(PROCESS, 0.0, 0.3)
    x = torch.full((512, 4), 2.0, dtype=F64)
    kept = code(model, PROCESS, x, start=0.5, steps=30, updates=0, width=math.inf)
    path = invert(model, PROCESS, x, steps=30, start=0.5)
    assert torch.equal(kept, sample(DDIM(), model, PROCESS, x, steps=path.steps, grid=path.times, init=path.states[0]))
    moved = [code(model, PROCESS, x, start=0.5, steps=30, updates=n, rate=0.1, width=math.inf) for n in (0, 5, 40)]
    sizes = [float(out.abs().mean()) for out in moved]
    assert sizes[0] > 1.5 > sizes[1] > 2 * sizes[2]
    assert float(moved[2].std()) == pytest.approx(0.3, rel=0.2)


def test_clipping() -> None:
    model = GaussianDenoiser(PROCESS, 0.0, 0.3)
    a, _, s = (float(c) for c in PROCESS.coefs_of(0.2))
    clipped = Confident(model, PROCESS, 1.5)
    x = torch.tensor([[0.1, 9.0, -9.0]], dtype=F64)
    assert clipped.clipped(x, 0.2, NONE).tolist()[0] == pytest.approx([0.1, a + 1.5 * s, -a - 1.5 * s])
    around = Confident(model, PROCESS, 1.5, torch.full_like(x, 0.5)).clipped(x, 0.2, NONE)
    assert around.tolist()[0] == pytest.approx([max(0.1, 0.5 * a - 1.5 * s), 0.5 * a + 1.5 * s, 0.5 * a - 1.5 * s])
    free = Confident(model, PROCESS, math.inf)
    kwargs: Any = {"steps": 8, "noise": 2}
    assert torch.equal(sample(DDIM(), free, PROCESS, data(), **kwargs), sample(DDIM(), model, PROCESS, data(), **kwargs))
    one = sample(DDIM(), clipped, PROCESS, x, steps=1, grid=[0.2, 0.1], init=x)
    other = sample(DDIM(), model, PROCESS, x, steps=1, grid=[0.2, 0.1], init=clipped.clipped(x, 0.2, NONE))
    torch.testing.assert_close(one, other)


# ----------------------------------------------------------------------------------------------- interpolation
def test_slerp() -> None:
    a, b = data((8, 4, 3)), data((8, 4, 3)).flip(0)
    assert slerp(a, b, 0.0) is a
    assert slerp(a, b, 1.0) is b
    unit = a / a.flatten(1).norm(dim=1).view(-1, 1, 1), b / b.flatten(1).norm(dim=1).view(-1, 1, 1)
    for weight in (0.2, 0.5, 0.9):
        between = slerp(*unit, weight)
        assert between.flatten(1).norm(dim=1).tolist() == pytest.approx([1.0] * 8)
        angle = torch.acos((unit[0] * unit[1]).flatten(1).sum(1))
        part = torch.acos((unit[0] * between).flatten(1).sum(1))
        torch.testing.assert_close(part, weight * angle)
    same = {"x": a, "y": torch.view_as_complex(data((3, 5, 2)))}
    back = slerp(same, same, 0.3)
    assert all(torch.allclose(back[n], same[n], atol=1e-6) for n in same)


def test_noise_diffusion_of_gaussian_data() -> None:
    """For z = a x + s e: the result has signal mu, nu and noise of variance alpha^2 + beta^2 + gamma^2 = 1, and is clipped."""
    x1, x2 = data((4096, 3)), data((4096, 3)).flip(0)
    a, _, s = (float(c) for c in PROCESS.coefs_of(0.5))
    z1, z2 = (PROCESS.perturb(x, 0.5, noise=k).x for x, k in ((x1, 10_000), (x2, 30_000)))
    kwargs: Any = {"t": 0.5, "bound": 100.0, "noise": 60_000}
    for weight, fresh in ((0.5, 0.0), (0.3, 0.6), (0.5, 1.0)):
        out = noise_diffusion(PROCESS, (z1, z2), (x1, x2), weight, fresh=fresh, **kwargs)
        cos, sin = math.cos(weight * math.pi / 2), math.sin(weight * math.pi / 2)
        mu, nu = (1.2 * (1 - weight), 1.2 * weight) if fresh == 1.0 else (1.2 * cos / (cos + sin), 1.2 * sin / (cos + sin))
        rest = (out - a * (mu * x1 + nu * x2)) / s
        assert float(rest.var()) == pytest.approx(1.0, abs=0.06)
    for weight, end in ((0.0, z1), (1.0, z2)):
        torch.testing.assert_close(noise_diffusion(PROCESS, (z1, z2), (x1, x2), weight, signal=1.0, **kwargs), end)
    assert float(noise_diffusion(PROCESS, (z1, z2), (x1, x2), 0.5, t=0.5, bound=0.8).abs().max()) <= 0.8
    with pytest.raises(ConfigError, match="weight 2"):
        noise_diffusion(PROCESS, (z1, z2), (x1, x2), 2.0, t=0.5)


@dataclass(frozen=True)
class Looking:
    """Targets are drawn to their sources: what attention across a pair would do, in closed form."""

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        here, there = halves(MODEL(x, t, NONE).x0)
        return Prediction(joined(here, 0.5 * here + 0.5 * there))


def test_a_target_that_sees_its_source_gains_from_direct_inversion() -> None:
    x = data()
    path = invert(MODEL, PROCESS, x, steps=12)
    both = joined(path.states[0], path.states[0].flip(0))
    kwargs: Any = {"steps": 12, "grid": path.times, "init": both}
    direct = halves(sample(DDIM(), DirectInversion(Looking(), PROCESS, path), PROCESS, both, **kwargs))
    plain = halves(sample(DDIM(), Looking(), PROCESS, both, **kwargs))
    assert float((direct[0] - x).abs().max()) < 1e-12
    assert float((plain[0] - x).abs().max()) > 0.05
    assert DDCM(Looking(), x)(both, 0.5, NONE).eps is None
