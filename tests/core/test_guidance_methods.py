"""What methods of guidance share: neutral settings, the laws of denoisers, leaves, null conditions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.core.guidance_toys import F64, PROCESS, Classes, logits, points
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.evaluation import gaussian
from polyscore.guidance import CFG, CalibratedClassifier, GradientFreeClassifier, Reflection, VendiGuidance
from polyscore.processes import Cosine, Flow, Product
from polyscore.samplers import DDIM, DPMSolverPP, UniPC, sample
from polyscore.state import NONE, Given
from polyscore.testing import GaussianDenoiser, check_denoiser


@pytest.mark.parametrize("solver", [DDIM(), DDIM(1.0), DPMSolverPP(), UniPC()], ids=lambda s: type(s).__name__)
def test_neutral_settings_are_the_denoiser_bit_for_bit(solver: Any) -> None:
    model, given = Classes(), Given(cond=torch.tensor([0, 2, 1, 1]))
    neutral: list[Any] = [
        CalibratedClassifier(model, PROCESS, logits, 0.0),
        GradientFreeClassifier(model, logits, 0.0),
        Reflection(model, GaussianDenoiser(PROCESS), PROCESS, 0.0),
        VendiGuidance(model, PROCESS, lambda f: gaussian(f, 1.0), 0.0, exemplars=points(3, 3)),
    ]
    plain, *found = (
        sample(solver, d, PROCESS, torch.empty(4, 3, dtype=F64), steps=5, given=given, noise=3) for d in (model, *neutral)
    )
    assert all(torch.equal(other, plain) for other in found)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_they_obey_the_laws_of_denoisers(dtype: torch.dtype) -> None:
    given, like = Given(cond=torch.tensor([0, 2, 1, 1])), torch.empty(4, 3, dtype=dtype)

    class Alone(Classes):
        def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
            return Prediction(super().__call__(x.double(), t, given).x0.to(x))

    for denoiser in (
        CalibratedClassifier(Alone(), PROCESS, lambda x0: logits(x0.double()).to(x0), 0.2),
        GradientFreeClassifier(Alone(), logits, 1.5),
        Reflection(Alone(), GaussianDenoiser(PROCESS), PROCESS, 0.1),
    ):
        # The gradient through what a classifier says is left out on purpose.
        check_denoiser(denoiser, like, given=given, tolerance=1e-5, differentiable=isinstance(denoiser, Reflection))


def test_leaves_that_are_held_stay_and_leaves_are_guided_as_alone() -> None:
    joint = Product(a=Cosine(), b=Flow())

    def model(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction({name: torch.tanh(leaf) for name, leaf in x.items()})

    def weak(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction({name: 0.5 * torch.tanh(leaf) for name, leaf in x.items()})

    x = {"a": points(4, 3), "b": points(4, 2, seed=1)}
    moved = Reflection(model, weak, joint, 0.1)(x, 0.5, NONE)
    alone = Reflection(lambda x, t, g: Prediction(torch.tanh(x)), lambda x, t, g: Prediction(0.5 * torch.tanh(x)), Cosine(), 0.1)
    torch.testing.assert_close(moved.x0["a"], alone(x["a"], 0.5, NONE).x0, rtol=0, atol=1e-12)
    for guided in (Reflection(model, weak, joint, 0.1), VendiGuidance(model, joint, lambda f: gaussian(f, 1.0), 0.5)):
        out = sample(DDIM(), guided, joint, x, steps=4, grid=[0.9, 0.6, 0.4, 0.2, 0.0], hold={"b": x["b"]})
        plain = sample(DDIM(), model, joint, x, steps=4, grid=[0.9, 0.6, 0.4, 0.2, 0.0], hold={"b": x["b"]})
        assert torch.equal(out["b"], x["b"])
        assert float((out["a"] - plain["a"]).abs().max()) > 1e-3


def test_one_row_of_a_null_condition_counts_for_all_also_alone() -> None:
    """A network that insists on a label for each sample is asked so, whatever the scale and the number of passes."""

    def strict(x: Tensor, t: Any, given: Given) -> Prediction:
        assert given.cond.shape == x.shape[:1]
        return Prediction(x * given.cond[:, None])

    x, given, null = points(4, 3), Given(cond=torch.tensor([1, 2, 3, 4])), Given(cond=torch.tensor([9]))
    assert torch.equal(CFG(strict, null, 0.0)(x, 0.5, given).x0, 9 * x)
    torch.testing.assert_close(CFG(strict, null, 2.0, 2)(x, 0.5, given).x0, CFG(strict, null, 2.0)(x, 0.5, given).x0)
