"""Parameterisations are exact inverses, and the wrapper keeps dtypes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Precondition, scalings
from polyscore.errors import InputError
from polyscore.processes import EDM, OUVE, VP, BetaTable, Flow, GaussianProcess
from polyscore.state import NONE, Given
from polyscore.testing import check_denoiser

KINDS = ["x0", "eps", "score", "v", "flow", "edm"]


class Affine(nn.Module):
    """A network that is a fixed affine map, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.seen: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        self.seen = (x, time)
        out: Tensor = self.linear(x) + time.to(x.dtype)[:, None]
        return out


class Oracle(nn.Module):
    """Returns a stored output."""

    def __init__(self) -> None:
        super().__init__()
        self.value = torch.zeros(())

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        return self.value


@pytest.mark.parametrize("predicts", KINDS)
@pytest.mark.parametrize("process", [VP(), Flow(), OUVE(), EDM()], ids=lambda p: type(p).__name__)
def test_a_network_that_hits_its_target_predicts_x0(predicts: str, process: GaussianProcess) -> None:
    generator = torch.Generator().manual_seed(0)
    x0, y = (torch.randn(6, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    t, given = torch.rand(6, generator=generator) * 0.8 + 0.1, Given(y=y)
    x, eps = process.perturb(x0, t, given=given, noise=1)
    oracle = Oracle()
    model = Precondition(oracle, process, predicts=predicts)  # type: ignore[arg-type]
    oracle.value = model.target(x, x0, t, given)
    torch.testing.assert_close(model(x, t, given).x0, x0)
    a, _, s = (c[:, None] for c in process.coefs_of(t))
    expected = {"x0": x0, "eps": eps, "score": -eps / s, "v": a * eps - s * x0, "flow": eps - x0}
    if predicts in expected:
        torch.testing.assert_close(oracle.value, expected[predicts], rtol=1e-7, atol=1e-7)


def test_edm_scalings_are_the_papers() -> None:
    """c_skip, c_out, c_in of Karras et al. 2022, table 1, and unit variance of input and target."""
    sigma, sd = torch.tensor([0.01, 0.5, 20.0], dtype=torch.float64), 0.5
    process = EDM()
    c = scalings("edm", process.coefs_of(process.time_at_sigma(sigma)), sigma_data=sd)
    torch.testing.assert_close(c.skip, sd**2 / (sigma**2 + sd**2))
    torch.testing.assert_close(c.out, sigma * sd / (sigma**2 + sd**2).sqrt())
    torch.testing.assert_close(c.inp, 1 / (sigma**2 + sd**2).sqrt())
    generator = torch.Generator().manual_seed(0)
    model = Precondition(Affine(), process, predicts="edm")
    x0 = sd * torch.randn(20000, 3, generator=generator, dtype=torch.float64)
    x = process.perturb(x0, 0.01, noise=0).x
    assert abs(float(model.target(x, x0, 0.01).std()) - 1) < 0.02


def test_time_inputs() -> None:
    network, x = Affine(), torch.zeros(2, 3)
    table = BetaTable()
    Precondition(network, table, time="index")(x, float(table.time(417)), NONE)
    assert network.seen is not None
    torch.testing.assert_close(network.seen[1], torch.tensor([417.0, 417.0]))
    Precondition(network, EDM(), predicts="edm", time="edm")(x, 0.05, NONE)
    torch.testing.assert_close(network.seen[1], torch.tensor([4.0, 4.0]).log() / 4)
    Precondition(network, VP(), time="log_snr")(x, torch.tensor([0.2, 0.6]), NONE)
    torch.testing.assert_close(network.seen[1], VP().half_log_snr(torch.tensor([0.2, 0.6])).float())


def test_dtypes_belong_to_the_preconditioner() -> None:
    model = Precondition(Affine().to(torch.bfloat16), VP(), predicts="v")
    assert model(torch.zeros(2, 3), 0.5, NONE).x0.dtype == torch.float32
    exact = Precondition(Affine(), VP(), predicts="v")
    rough = Precondition(Affine().to(torch.bfloat16), VP(), predicts="v")
    rough.network.load_state_dict(exact.network.state_dict())
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = (exact(x, 0.5, NONE).x0 - rough(x, 0.5, NONE).x0).square().mean().sqrt()
    assert 0 < float(difference) < 2e-2
    check_denoiser(exact.eval(), torch.empty(4, 3))


def test_check_denoiser_fails_on_coupled_samples_and_wrong_shapes() -> None:
    class Coupled(nn.Module):
        def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
            return x - x.mean(0)

    with pytest.raises(AssertionError, match="alone"):
        check_denoiser(Precondition(Coupled(), VP()), torch.empty(4, 3))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="predicts: 'noise'"):
        Precondition(Affine(), VP(), predicts="noise")(torch.zeros(1, 3), 0.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="time: 'seconds'"):
        Precondition(Affine(), VP(), time="seconds")(torch.zeros(1, 3), 0.5)  # type: ignore[arg-type]
