"""What every domain's models go through: the methods of guidance, and the number that each is held to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tests.editing_cells import Record, Subject
from torch import Tensor

from polyscore.evaluation import gaussian, vendi
from polyscore.guidance import CFG, Autoguidance, CFGPlusPlus, PerturbedAttention, Reflection, VendiGuidance, minority_score
from polyscore.guidance.vendi import flat
from polyscore.noise import Seeded
from polyscore.samplers import DDIM, UniPC, sample
from polyscore.state import map_state

__all__ = ["CELLS", "Subject", "guide"]


def drawn(s: Subject, denoiser: Any, sampler: Any = None) -> Any:
    """Samples like the subject's data, from seeds 0, 1, ..."""
    with torch.no_grad():
        return sample(sampler or DDIM(), denoiser, s.process, s.x, noise=0, **s.run)


def error(a: Any, b: Any) -> float:
    """Root of the summed squared difference of all entries."""
    return float((flat(a) - flat(b)).norm())


def worse(s: Subject, amount: float) -> Any:
    """The model with `amount` of noise in its weights, always in the same direction: it errs as less trained ones do."""
    (model, modules), generator = copy.deepcopy((s.denoiser, s.modules)), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in (weight for module in modules for weight in module.parameters()):
            weight.add_(amount * weight.std(unbiased=False) * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return model


def variety(s: Subject) -> tuple[str, bool]:
    """The Vendi score of the samples of one batch rises."""
    plain = drawn(s, s.denoiser)
    features = flat(plain)
    width = float((features[0] - features[1]).norm()) * 0.7

    def alike(rows: Tensor) -> Tensor:
        return gaussian(rows, width)

    found = flat(drawn(s, VendiGuidance(s.denoiser, s.process, alike, width**2)))
    before, after = float(vendi(alike(features))), float(vendi(alike(found)))
    return f"{before:.2f} to {after:.2f}", after > before + 0.02


def perturbed(s: Subject) -> tuple[str, bool]:
    """Without attention the model denoises worse, and the guided prediction goes the other way as far."""
    good = bad = 0.0
    for seed, t in enumerate((0.3, 0.5, 0.7)):
        x = s.process.perturb(s.x, t, given=s.source, noise=Seeded(10 * seed)).x
        with torch.no_grad():
            prediction = PerturbedAttention(s.denoiser, s.modules, 1.0)(x, t, s.source)
        good += error(prediction.extra["cond"], s.x) ** 2
        bad += error(prediction.extra["null"], s.x) ** 2
        mirrored = map_state(lambda a, b: 2 * a - b, prediction.extra["cond"], prediction.extra["null"])
        torch.testing.assert_close(prediction.x0, mirrored)
    return f"{bad / good:.3g} times the error", bad > 1.02 * good


def towards(s: Subject, guided: Callable[[Any, Any], Any]) -> tuple[str, bool]:
    """Two models with errors alike, one larger: guidance off the worse one leads nearer to where the right model leads."""
    strong, weak, right = worse(s, 0.02), worse(s, 0.04), drawn(s, s.denoiser)
    before, after = (error(drawn(s, denoiser), right) for denoiser in (strong, guided(strong, weak)))
    return f"{after / before:.3g} of the error", after < 0.95 * before


def reflection(s: Subject) -> tuple[str, bool]:
    return towards(s, lambda strong, weak: Reflection(strong, weak, s.process, 0.1))


def autoguidance(s: Subject) -> tuple[str, bool]:
    return towards(s, lambda strong, weak: Autoguidance(strong, weak, 1.7))


def cfg_plus_plus(s: Subject) -> tuple[str, bool]:
    """From the other condition, CFG++ moves samples further than CFG of the same scale, with DDIM and with UniPC alike."""
    plain, weak, strong, other = (
        drawn(s, denoiser, sampler)
        for denoiser, sampler in (
            (CFG(s.denoiser, s.target, 0.0), DDIM()),
            (CFG(s.denoiser, s.target, 0.4), DDIM()),
            (CFGPlusPlus(s.denoiser, s.target, s.process, 0.4), DDIM()),
            (CFGPlusPlus(s.denoiser, s.target, s.process, 0.4), UniPC()),
        )
    )
    moved, further, also = (error(x, plain) for x in (weak, strong, other))
    return f"{further / moved:.3g} times as far, {also / moved:.3g} with UniPC", min(further, also) > 1.1 * moved


def minority(s: Subject) -> tuple[str, bool]:
    """Data with their entries in disorder score higher than the data."""
    order = torch.randperm(s.x[0].numel(), generator=torch.Generator().manual_seed(0))
    odd = s.x.flatten(1)[:, order].view_as(s.x)
    scores = [minority_score(s.denoiser, s.process, x, t=0.5, draws=2, given=s.source, noise=3).mean() for x in (s.x, odd)]
    return f"{float(scores[1] / scores[0]):.3g} times the score", float(scores[1]) > 1.1 * float(scores[0])


CELLS: Mapping[str, Callable[[Subject], tuple[str, bool]]] = {
    "vendi guidance": variety,
    "perturbed attention": perturbed,
    "reflection": reflection,
    "autoguidance": autoguidance,
    "cfg++": cfg_plus_plus,
    "minority score": minority,
}


def guide(name: str, s: Subject, record: Record) -> None:
    """Run a method on a subject, and write its number down."""
    found, holds = CELLS[name](s)
    record(name, found)
    assert holds, f"{name}: {found}"
