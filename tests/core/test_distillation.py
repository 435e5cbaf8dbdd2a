"""Score-distillation rules: the published gradients, identities between rules, and exact optima of a Gaussian prior."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.denoisers import Prediction
from polyscore.distillation import Descending, Distilled, Inversion, Record, ScoreDistillation, Window, rules, weights
from polyscore.distillation.terms import Drawn, Later, Mix
from polyscore.errors import InputError
from polyscore.noise import Recorded
from polyscore.processes import VP, BetaTable
from polyscore.state import NONE, Given

FILE = Path(os.environ.get("POLYSCORE_REFERENCE", "")) / "shapes" / "golden" / "score_distillation.npz"
needs_reference = pytest.mark.skipif(not FILE.is_absolute() or not FILE.is_file(), reason="no reference folder")


@dataclass
class Toy:
    """The reference's network, float64: eps(x, t, y) = conv(tanh(conv([x, t/1000]) + emb[y])) + .3 x at index t."""

    first: Tensor
    second: Tensor
    emb: Tensor
    process: BetaTable
    calls: int = 0

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        self.calls += 1
        index = torch.round(t * len(self.process)) - 1
        plane = (index / 1000).to(x).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
        hidden = F.conv2d(torch.cat([x, plane], 1), self.first, padding=1) + self.emb[given.cond].view(1, -1, 1, 1)
        eps = F.conv2d(torch.tanh(hidden), self.second, padding=1) + 0.3 * x
        a, _, s = (c.view(-1, 1, 1, 1) for c in self.process.coefs_of(t))
        return Prediction((x - s * eps) / a)


PROMPTS = {"cond": 0, "null": 1, "negative": 2, "source": 2, "inversion": 3}


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return {k: torch.from_numpy(v) for k, v in np.load(FILE, allow_pickle=False).items()}


def run(golden: dict[str, Tensor], rule: ScoreDistillation, *, index: int = 321, uniform: float | None = None) -> Distilled:
    abar = golden["alphas_cumprod"].double()
    process = BetaTable(tuple((1 - abar / torch.cat([abar.new_ones(1), abar[:-1]])).tolist()))
    toy = Toy(golden["W1"].double(), golden["W2"].double(), golden["emb"].double(), process)
    z = golden["latents"].double().requires_grad_()
    prompts = {**PROMPTS, "reference": golden["dds_ref"].double()}
    t = torch.full((len(z),), (index + 1) / 1000, dtype=torch.float64)
    generator = None if uniform is None else torch.Generator().manual_seed(0)
    noise = Recorded([golden["noise"].double()])
    result = rule(z, prompts, denoiser=toy, process=process, noise=noise, generator=generator, t=t)
    (gradient,) = torch.autograd.grad(result.loss.sum(), z)
    assert torch.allclose(gradient, result.gradient, rtol=0, atol=1e-12 * float(result.gradient.abs().max()))
    assert torch.allclose(result.loss, 0.5 * result.norm.square())
    return result


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@needs_reference
@pytest.mark.parametrize(
    ("name", "rule", "index"),
    [
        ("sds_dreamfusion_cfg100", rules.sds(100), 321),
        ("sds_threestudio_cfg100", rules.sds_threestudio(100), 321),
        ("sds_threestudio_unified_cfg100", rules.sds_threestudio_unified(100), 321),
        ("sds_latentnerf_cfg100", rules.sds_latentnerf(100), 321),
        ("sjc_var_red", rules.sjc(100), 321),
        ("sjc_novarred", rules.sjc(100, variance_reduced=False), 321),
        ("csd_cond1_null-1_uniform", rules.csd(1, -1, 0), 321),
        ("csd_cond1_neg-.5_null-.5_sds", rules.csd(1, -0.5, -0.5, weighted=True), 321),
        ("nfsd_t321_s7.5", rules.nfsd(7.5), 321),
        ("nfsd_t150_s7.5", rules.nfsd(7.5), 150),
        ("dds_s7.5", rules.dds(7.5), 321),
        ("ism_t321_dt50_s7.5", rules.ism(7.5), 321),
        ("tsm_t321_dt50_g0.3", rules.tsm(7.5), 321),
    ],
)
def test_published_gradients(golden: dict[str, Tensor], name: str, rule: ScoreDistillation, index: int) -> None:
    assert error(run(golden, rule, index=index).gradient, golden[name]) <= 1e-6


@needs_reference
def test_published_gradients_of_rules_with_two_times(golden: dict[str, Tensor]) -> None:
    base = rules.asd(7.5)
    later = base.eps_b
    assert isinstance(later, Later)

    @dataclass(frozen=True)
    class Whole(Later):  # the reference takes the largest shift
        def __call__(self, point: Any) -> Tensor:
            return super().__call__(replace(point, uniform=torch.ones_like(point.t)))

    asd = replace(base, eps_b=Whole(**{k: getattr(later, k) for k in ("term", "ratio", "t_min", "nodes")}))
    assert error(run(golden, asd).gradient, golden["asd_s7.5_plus.1"]) <= 1e-6
    # t' = 200 where the reference has it; the published gradient is minus its delta
    cds = rules.cds(50, target=(0.201, 0.201))
    assert error(-run(golden, cds).gradient, golden["cds_s50_uniform_delta"]) <= 3e-6
    reddiff = run(golden, replace(rules.reddiff(), eps_a=Mix({"null": 1.0})))
    data = golden["reddiff_mask"] * (golden["reddiff_mask"] * golden["latents"] - golden["reddiff_y"])
    total = (reddiff.gradient + golden["reddiff_mask"] * golden["latents"] - golden["reddiff_y"]) / 512
    assert min(error(total, golden["reddiff_grad"]), error((reddiff.gradient + data) / 512, golden["reddiff_grad"])) <= 1e-6


@needs_reference
def test_trajectory_matching_with_gamma_one_is_interval_matching(golden: dict[str, Tensor]) -> None:
    one, other = run(golden, rules.tsm(gamma=1.0)), run(golden, rules.ism())
    assert error(one.gradient, other.gradient) <= 1e-12


class Gaussian:
    """Data N(m_c, v) for class c, or their mixture's mean and variance under None: x0 = m + a v / (a^2 v + s^2)(x - a m)."""

    def __init__(self, process: VP) -> None:
        self.process, self.variance = process, 0.25
        self.means = {"a": 2.0, "b": -1.0, None: 0.5}

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        a, _, s = (c.to(x).view(-1, *[1] * (x.ndim - 1)) for c in self.process.coefs_of(t))
        m = self.means[given.cond]
        return Prediction(m + a * self.variance / (a**2 * self.variance + s**2) * (x - a * m))


def distil(rule: ScoreDistillation, steps: int = 300, rate: float = 0.2, prompts: dict[str, Any] | None = None) -> Tensor:
    process = VP()
    z = torch.zeros(64, 1, 2, dtype=torch.float64, requires_grad=True)
    generator = torch.Generator().manual_seed(0)
    names = prompts or {"cond": "a", "null": None, "negative": "b", "inversion": None, "category": None, "source": "b"}
    for step in range(steps):
        noise = Recorded([torch.randn(z.shape, generator=generator, dtype=z.dtype)])
        result = rule(
            z, names, denoiser=Gaussian(process), process=process, noise=noise, generator=generator, progress=step / steps
        )
        (gradient,) = torch.autograd.grad(result.loss.sum(), z)
        z = (z - rate * gradient).detach().requires_grad_()
    return z.detach()


@pytest.mark.parametrize(
    ("rule", "rate"),
    [
        (rules.sds(1.0), 0.1),
        (rules.sds_latentnerf(1.0), 0.3),
        (rules.hifa(0.0), 0.1),
        (rules.x0(1.0), 0.1),
        (rules.x0_rescaled(1.0), 0.1),
        (rules.reddiff(), 0.1),
    ],
)
def test_views_come_to_the_mode_of_a_gaussian(rule: ScoreDistillation, rate: float) -> None:
    """E over n of w (eps - n) is w s a (z - m) / (a^2 v + s^2): zero at the mean alone."""
    z = distil(rule, rate=rate)
    assert abs(float(z.mean()) - 2.0) < 0.05


def test_expected_gradient_of_sds_in_closed_form() -> None:
    process, z = VP(), torch.full((200_000, 1), 0.7, dtype=torch.float64)
    t = torch.full((len(z),), 0.4, dtype=torch.float64)
    rule = ScoreDistillation(Mix({"cond": 1.0}), Drawn, weights.uniform)
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    result = rule(z, {"cond": "a"}, denoiser=Gaussian(process), process=process, noise=Recorded([noise]), t=t)
    a, _, s = process.coefs_of(0.4)
    expected = s * a * (0.7 - 2.0) / (a**2 * 0.25 + s**2)
    assert abs(float(result.gradient.mean() - expected)) < 4 * float(result.gradient.std()) / len(z) ** 0.5
    # interval matching draws no noise: the same without variance
    assert float(distil_once(rules.csd(1, -1)).gradient.std()) < 1e-12


def distil_once(rule: ScoreDistillation) -> Distilled:
    z = torch.linspace(-1, 1, 8, dtype=torch.float64).repeat(16, 1)
    process = VP()
    t = torch.full((16,), 0.5, dtype=torch.float64)
    names = {"cond": "a", "null": None, "negative": "b", "inversion": None}
    return rule(z[:, :1], names, denoiser=Gaussian(process), process=process, noise=3, t=t)


def test_eps_form_is_the_form_in_clean_views() -> None:
    """w (eps - n) = w (a / s)(z - x0): the published equality of SDS and a regression to x0."""
    process = VP()
    z = torch.randn(6, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.linspace(0.1, 0.9, 6, dtype=torch.float64)
    names = {"cond": "a", "null": None}
    result = rules.sds(7.0)(z, names, denoiser=Gaussian(process), process=process, noise=1, t=t)
    a, _, s = (c.view(-1, 1, 1) for c in process.coefs_of(t))
    assert error(result.gradient, s**2 * a / s * (z - result.x0)) < 1e-12
    regression = rules.x0(7.0)(z, names, denoiser=Gaussian(process), process=process, noise=1, t=t)
    assert error(regression.gradient, z - regression.x0) < 1e-12


def test_two_models_of_the_same_views_leave_them_alone() -> None:
    """VSD's fixed point: where the second model is the first, nothing moves."""
    process = VP()
    rule = rules.vsd(Gaussian(process), 1.0)
    assert torch.equal(distil(rule, steps=5), torch.zeros(64, 1, 2, dtype=torch.float64))


def test_delta_denoising_is_zero_at_the_reference() -> None:
    process = VP()
    z = torch.randn(4, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    names = {"cond": "a", "null": None, "source": "a", "reference": z}
    same = rules.dds(7.5)(z, names, denoiser=Gaussian(process), process=process, noise=2, t=torch.full((4,), 0.5))
    assert float(same.gradient.abs().max()) == 0
    names["source"] = "b"
    other = rules.dds(1.0)(z, names, denoiser=Gaussian(process), process=process, noise=2, t=torch.full((4,), 0.5))
    assert float(other.gradient.max()) < 0  # from b = -1 towards a = 2


def test_perpendicular_negatives_only_turn_what_is_orthogonal() -> None:
    process = VP()
    z = torch.zeros(3, 1, 2, dtype=torch.float64)
    t = torch.full((3,), 0.5, dtype=torch.float64)
    names = {"cond": "a", "null": None, "negative": "b"}
    # in the Gaussian toy all differences are parallel, so a perpendicular negative does nothing
    plain = rules.sds(7.5)(z, names, denoiser=Gaussian(process), process=process, noise=1, t=t)
    turned = rules.perpendicular({"negative": -3.0})(z, names, denoiser=Gaussian(process), process=process, noise=1, t=t)
    assert torch.allclose(plain.gradient, turned.gradient, atol=1e-12)


def test_inversion_of_a_gaussian_comes_back() -> None:
    """Fine inversion steps follow the probability flow: z (a sd + ...) is known for a Gaussian."""
    process, model = VP(), Gaussian(VP())
    z = torch.linspace(1, 3, 5, dtype=torch.float64).view(5, 1)
    rule = ScoreDistillation(Mix({"cond": 1.0}), path=Inversion(start=1e-4, count=1000, term=Mix({"cond": 1.0})))
    seen: list[Tensor] = []

    def watch(x: Tensor, t: Any, given: Given) -> Prediction:
        seen.append(x)
        return model(x, t, given)

    rule(z, {"cond": "a"}, denoiser=watch, process=process, noise=Recorded([torch.zeros_like(z)]), t=torch.full((5,), 0.5))
    a, _, s = process.coefs_of(0.5)
    spread = float(torch.sqrt(a**2 * 0.25 + s**2)) / 0.5
    assert torch.allclose(seen[-1], a * 2.0 + spread * (z - 2.0), atol=5e-3)


def test_schedules() -> None:
    u = torch.linspace(0, 1, 5, dtype=torch.float64)
    assert torch.allclose(Window(0.02, 0.98)(u, 0.0), 0.02 + 0.96 * u)
    assert torch.allclose(Window(0.02, (0.98, 0.5, 0.2))(u, 0.1)[-1:], torch.tensor([0.74], dtype=torch.float64))
    assert torch.equal(Window(shared=True)(u, 0.0), torch.full_like(u, 0.02))
    assert torch.allclose(Descending(0.98, 0.3, 0.5)(u, 0.25), torch.full_like(u, 0.64))
    assert float(Window(nodes=1000)(u, 0.0)[1] * 1000) % 1 == 0


def test_record_keeps_views_and_norms() -> None:
    record = Record(every=2)
    for _ in range(5):
        record.add(distil_once(rules.sds(1.0)))
    assert record.strip().shape[-1] == 3 and record.steps == 5
    ((centre, norm, count),) = record.norm_by_time(10)
    assert centre == pytest.approx(0.45) and count == 80
    assert norm == pytest.approx(float(distil_once(rules.sds(1.0)).norm.mean()))


def test_clipped_gradients() -> None:
    clipped = distil_once(replace(rules.sds(100.0), clip=0.1))
    assert float(clipped.norm.max()) <= 0.1 + 1e-12 < float(distil_once(rules.sds(100.0)).norm.min())


def test_bad_input_is_named() -> None:
    process, z = VP(), torch.zeros(2, 1)
    for message, kwargs, prompts in (
        ("asks for the prompt 'null'", {"t": torch.tensor(0.5)}, {"cond": "a"}),
        ("give a generator", {}, {"cond": "a", "null": None}),
        ("progress is 2", {"progress": 2.0, "t": torch.tensor(0.5)}, {"cond": "a", "null": None}),
        ("times run from 0.0", {"t": torch.tensor(0.0)}, {"cond": "a", "null": None}),
    ):
        with pytest.raises(InputError, match=message):
            rules.sds()(z, prompts, denoiser=Gaussian(process), process=process, **kwargs)
    with pytest.raises(InputError, match="not finite"):
        rules.sds()(z / 0, {}, denoiser=Gaussian(process), process=process, t=torch.tensor(0.5))
    rule = replace(rules.ism(), path=ScoreDistillation(Mix({})).path)
    with pytest.raises(InputError, match="inverted view"):
        rule(z, {"cond": "a", "null": None}, denoiser=Gaussian(process), process=process, t=torch.tensor(0.5))
    with pytest.raises(InputError, match="form 'C'"):
        Mix.guided(1.0, "C")
    assert NONE.cond is None
