"""Inversion and editing of real digits with the shipped model: what comes back, what changes, what stays."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.editing import (
    BDIA,
    EDICT,
    DirectInversion,
    GuideAndRescale,
    Resemblance,
    code,
    decode,
    dpm_encoder,
    edit_friendly,
    encode,
    halves,
    infedit,
    invert,
    joined,
    noise_diffusion,
    null_text,
    sdedit,
)
from polyscore.evaluation import wilson
from polyscore.guidance import CFG
from polyscore.images import ImageGenerator, digits
from polyscore.images.metrics import DigitsClassifier
from polyscore.samplers import DDIM, DPMSolverPP, sample
from polyscore.state import NONE, Given

pytest.importorskip("sklearn")


class Setting(NamedTuple):
    """The model, real test digits, their labels, other labels, and a classifier of images in [-1, 1]."""

    model: Any
    x: Tensor
    source: Given
    target: Given
    labels: Any


@pytest.fixture(scope="module")
def setting() -> Setting:
    test, classifier = digits(train=False), DigitsClassifier.fit()
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(test.images), generator=generator)[:30]
    labels = test.labels[chosen]
    others = (labels + torch.randint(1, 10, (30,), generator=generator)) % 10
    model = ImageGenerator.from_pretrained("digits").denoiser.eval().requires_grad_(False)

    def label(images: Tensor) -> Tensor:
        return classifier(((images + 1) / 2).clamp(0, 1))

    return Setting(model, test.images[chosen], Given(cond=labels), Given(cond=others), label)


def null(given: Given) -> Given:
    return Given(cond=torch.full_like(given.cond, 10))


def right(setting: Setting, made: list[Tensor]) -> float:
    """The lower end of the 95 % interval of the share of images that are of the class asked for."""
    hits = sum(int((setting.labels(images) == setting.target.cond).sum()) for images in made)
    return wilson(hits, 30 * len(made)).low


def mse(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean())


def test_exact_inversion_of_digits(setting: Setting) -> None:
    """float32: 1e-6 on average. A float32 network with float64 states rounds the same both ways, and returns them exactly."""
    model, x = setting.model, setting.x
    kwargs: Any = {"steps": 10, "given": setting.source}
    latent = encode(BDIA(), model, model.process, x, **kwargs)
    assert float((decode(BDIA(), model, model.process, latent, **kwargs) - x).abs().mean()) < 1e-6
    for solver, most in ((BDIA(), 1e-13), (EDICT(), 1e-5)):
        latent = encode(solver, model, model.process, x.double(), **kwargs)
        back = decode(solver, model, model.process, latent, **kwargs)
        assert float((back - x).abs().max()) < most
    path = invert(model, model.process, x, **kwargs)
    ddim = sample(DDIM(), model, model.process, x, grid=path.times, init=path.states[0], **kwargs)
    assert float((ddim - x).abs().max()) > 0.2


@pytest.mark.parametrize("encoder", [edit_friendly, dpm_encoder])
def test_noise_maps_of_digits(setting: Setting, encoder: Any) -> None:
    """The same class returns the digit to 1e-5; another one gives that class."""
    model, made = setting.model, []
    for seed in (0, 100, 200):
        maps = encoder(model, model.process, setting.x, steps=12, start=0.6, given=setting.source, noise=seed)
        assert float((maps.replay(model, model.process, given=setting.source) - setting.x).abs().max()) < 1e-5
        made.append(maps.replay(CFG(model, null, 2.0), model.process, given=setting.target))
    assert right(setting, made) > 0.85
    fresh = sdedit(DPMSolverPP(), CFG(model, null, 2.0), model.process, setting.x, strength=0.8, steps=12, given=setting.target)
    assert mse(made[0], setting.x) < mse(fresh, setting.x)


def test_noise_maps_translate_to_another_domain(setting: Setting) -> None:
    """To a model of pale digits, x' = x / 2 - 1 / 2, by the DPM-Encoder: they are pale, and mostly the same digits."""
    model, process = setting.model, setting.model.process

    def pale(x: Tensor, t: Any, given: Given) -> Prediction:
        a, _, s = (float(c) for c in process.coefs_of(t))
        time = float(process.time_at_sigma(2 * s / a))
        return Prediction(0.5 * model((2 * x + a) * float(process.coefs_of(time).a) / a, time, given).x0 - 0.5)

    maps = dpm_encoder(model, process, setting.x, steps=12, start=0.4, noise=1)
    out = maps.replay(pale, process)
    same = setting.labels(2 * out + 1) == setting.labels(setting.x)
    assert float(same.double().mean()) > 0.7
    assert float(out.amax((1, 2, 3)).mean()) == pytest.approx(0.0, abs=0.2)
    assert mse(2 * out + 1, setting.x) < 0.1


def test_infedit_of_digits_in_twelve_steps(setting: Setting) -> None:
    model, made = setting.model, []
    kept = Given(cond=joined(setting.source.cond, setting.source.cond))
    assert torch.equal(infedit(model, model.process, setting.x, steps=4, given=kept), setting.x)
    for seed in (0, 100, 200):
        given = Given(cond=joined(setting.source.cond, setting.target.cond))
        made.append(infedit(model, model.process, setting.x, steps=12, given=given, noise=seed))
    assert right(setting, made) > 0.85


def test_direct_inversion_of_digits(setting: Setting) -> None:
    model, scale = setting.model, 7.5
    path = invert(model, model.process, setting.x, steps=12, given=setting.source)
    both = joined(path.states[0], path.states[0])
    given = Given(cond=joined(setting.source.cond, setting.target.cond))
    kwargs: Any = {"steps": 12, "grid": path.times, "init": both, "given": given}
    guided = CFG(model, null, scale, passes=2)
    out = halves(sample(DDIM(), DirectInversion(guided, model.process, path), model.process, both, **kwargs))
    plain = halves(sample(DDIM(), guided, model.process, both, **kwargs))
    assert float((out[0] - setting.x).abs().max()) < 1e-6 < float((plain[0] - setting.x).abs().max())
    assert torch.equal(out[1], plain[1])
    assert right(setting, [out[1]]) > 0.85


def test_null_text_of_digits(setting: Setting) -> None:
    model, x, given = setting.model, setting.x[:6], Given(cond=setting.source.cond[:6])
    path = invert(model, model.process, x, steps=8, given=given)
    kwargs: Any = {"steps": 8, "grid": path.times, "init": path.states[0]}
    table = model.network.embedding.table
    found = null_text(model, model.process, path, table, null=null, scale=5.0, iterations=5, rate=0.3, given=given)
    plain = CFG(model, null, 5.0)
    back, guided = (sample(DDIM(), model_, model.process, x, given=given, **kwargs) for model_ in (found, plain))
    assert mse(back, x) < 0.1 * mse(guided, x)
    target = Given(cond=setting.target.cond[:6])
    edited = sample(DDIM(), found, model.process, x, given=target, **kwargs)
    assert float((setting.labels(edited) == target.cond).double().mean()) > 0.8


def test_guide_and_rescale_of_digits(setting: Setting) -> None:
    model, network = setting.model, setting.model.network
    path = invert(model, model.process, setting.x, steps=12, start=0.8, given=setting.source)
    energy = Resemblance(model, path, setting.source, [network.attention], [network.up[-1]])
    kwargs: Any = {"steps": path.steps, "grid": path.times, "init": path.states[0], "given": setting.target}
    guided, plain = (
        sample(DDIM(), denoiser, model.process, setting.x, **kwargs)
        for denoiser in (GuideAndRescale(model, model.process, null, 2.0, energy), CFG(model, null, 2.0, passes=2))
    )
    assert float((setting.labels(guided) == setting.target.cond).double().mean()) > 0.9
    assert mse(guided, setting.x) < 0.95 * mse(plain, setting.x)


def test_code_repairs_what_no_digit_has(setting: Setting) -> None:
    """35 % of the pixels are lost to black and white: the result is nearer to the digit, and nearer still with clipping."""
    model, generator = setting.model, torch.Generator().manual_seed(5)
    hole = torch.rand(setting.x.shape, generator=generator) < 0.35
    damaged = torch.where(hole, torch.randint(0, 2, setting.x.shape, generator=generator) * 2.0 - 1, setting.x)
    clipped, free = (
        code(model, model.process, damaged, start=0.3, steps=12, updates=20, rate=0.1, width=width, noise=2)
        for width in (1.0, math.inf)
    )
    assert mse(clipped, setting.x) < mse(free, setting.x) < mse(damaged, setting.x)


def test_between_two_digits(setting: Setting) -> None:
    """The ends come back as well as DDIM inversion brings them; the middle is a digit of either class more often than not."""
    model, x = setting.model, setting.x
    path = invert(model, model.process, x, steps=12, start=0.6)
    latents, data = halves(path.states[0]), halves(x)
    kwargs: Any = {"steps": path.steps, "grid": path.times}

    def made(weight: float, signal: float) -> Tensor:
        z = noise_diffusion(model.process, latents, data, weight, t=0.6, signal=signal, bound=10.0)
        out: Tensor = sample(DDIM(), model, model.process, z, init=z, **kwargs)
        return out

    plain = sample(DDIM(), model, model.process, x, init=path.states[0], given=NONE, **kwargs)
    assert torch.allclose(joined(made(0.0, 1.0), made(1.0, 1.0)), plain, atol=1e-4)
    found = setting.labels(made(0.5, 1.2))
    either = torch.stack([setting.labels(part) == found for part in data]).any(0)
    assert float(either.double().mean()) > 0.5
