"""`from_diffusers` reproduces diffusers' schedulers: random configurations of every covered class against the installed package.

The default run draws a few cases of each class; `-m slow` draws hundreds. A case that diffusers itself cannot run (it raises or
returns numbers that are not finite) is drawn again; a case that we refuse is a failure.
"""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from tests.core.diffusers_configs import OPTIONS, Case, cases
from tests.core.diffusers_runs import Network, draws_of, relative_error, run_diffusers, run_polyscore, scheduler_of
from torch import Tensor

from polyscore.errors import ConfigError, InputError

logging.getLogger("diffusers").setLevel(logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore")

SLOW = {"KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"}  # diffusers takes half a second a run
# UnCLIP has no table but the cosine one, where float32 loses 1 - abar of the first entries (4e-5) to three digits.
# SASolver in the noise form loses to cancellation in its high-order coefficients (2e-4 seen).
SINGLE = {"UnCLIPScheduler": 2e-3, "SASolverScheduler": 1e-3}
QUICK = settings(max_examples=6, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
MANY = settings(QUICK, max_examples=150, derandomize=False)


def theirs(case: Case, network: Network, *, double: bool) -> Tensor | None:
    """The result of diffusers, or None where it has none."""
    draws = draws_of(case.seed)
    try:
        out = run_diffusers(case.config, case.steps, draws, network, double=double, options=case.options, mu=case.mu)
    except (ArithmeticError, AssertionError, IndexError, RuntimeError, ValueError):
        return None
    return out if bool(torch.isfinite(out).all()) else None


def error(case: Case, *, double: bool) -> float:
    """Relative error of our float64 run to diffusers' run."""
    try:
        parts = scheduler_of(case.config, case.options, case.mu)
    except ConfigError as refusal:
        assume("above the largest level of the beta table" not in str(refusal))  # diffusers clamps the network's time there
        raise
    network = Network(parts)
    expected = theirs(case, network, double=double)
    assume(expected is not None)
    assert expected is not None
    try:
        ours = run_polyscore(parts, case.steps, draws_of(case.seed), network)
    except InputError as refusal:
        assume("choose another number of steps" not in str(refusal))  # diffusers runs another number of steps than asked for
        raise
    return relative_error(ours, expected)


@pytest.mark.parametrize("name", OPTIONS)
def test_double_precision(name: str) -> None:
    @settings(QUICK, max_examples=2 if name in SLOW else 6)
    @given(cases(name))
    def check(case: Case) -> None:
        assert error(case, double=True) <= 1e-9

    check()


@pytest.mark.parametrize("name", OPTIONS)
def test_single_precision(name: str) -> None:
    @settings(QUICK, max_examples=2 if name in SLOW else 4)
    @given(cases(name, gentle=True))
    def check(case: Case) -> None:
        assert error(case, double=False) <= SINGLE.get(name, 1e-4)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("double", [True, False], ids=["double", "single"])
@pytest.mark.parametrize("name", OPTIONS)
def test_many_cases(name: str, double: bool) -> None:
    @settings(MANY, max_examples=20 if name in SLOW else 150)
    @given(cases(name, gentle=not double))
    def check(case: Case) -> None:
        # A few of thousands lose a digit more by cancellation: 4.8e-9 (DPM-Solver from a cosine table's end) and 1.5e-4 seen.
        assert error(case, double=double) <= (1e-8 if double else SINGLE.get(name, 3e-4))

    check()


@pytest.mark.parametrize("steps", [6, 14])
def test_truncated_timesteps_of_stretched_levels(steps: int) -> None:
    """460 or 459.99: which one the network is told hangs on the order of operations."""
    config = {"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction", "use_flow_sigmas": True}
    assert error(Case({**config, "shift_terminal": 0.1}, steps), double=True) <= 1e-9


@pytest.mark.parametrize("layout", ["use_lu_lambdas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"])
def test_a_last_step_of_no_length(layout: str) -> None:
    """Laid levels that end at sigma_min repeat it."""
    config = {"_class_name": "DPMSolverMultistepScheduler", "final_sigmas_type": "sigma_min", "lower_order_final": False}
    assert error(Case({**config, layout: True}, 4), double=True) <= 1e-9
