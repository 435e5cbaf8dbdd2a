"""Run the laws on any object: `check_process(p)`, `check_sampler(s)`, `check_denoiser(d, like)`."""

from polyscore.testing.analytic import GaussianDenoiser, GMMDenoiser, Mixture, ScalarMixtureDenoiser, flow_of_gaussian
from polyscore.testing.denoisers import check_denoiser
from polyscore.testing.processes import check_process
from polyscore.testing.samplers import check_sampler, observed_order

__all__ = [
    "GMMDenoiser",
    "GaussianDenoiser",
    "Mixture",
    "ScalarMixtureDenoiser",
    "check_denoiser",
    "check_process",
    "check_sampler",
    "flow_of_gaussian",
    "observed_order",
]
