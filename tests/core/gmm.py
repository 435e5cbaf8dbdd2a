"""The analytic mixture of `polyscore.testing`, under the name the tests use."""

from polyscore.testing import GMMDenoiser, Mixture

__all__ = ["GMMDenoiser", "Mixture"]
