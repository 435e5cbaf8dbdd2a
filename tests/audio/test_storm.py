"""StoRM: what the score network sees, where the process ends, and the original's checkpoints and variance-preserving process."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore import hub
from polyscore.audio import SpeechEnhancer, upstream
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.audio.methods import choose
from polyscore.audio.networks import ConvTasNet, GaGNet, NCSNpp
from polyscore.audio.storm import OUVPWithoutRoot, SpectrogramPredictor, StochasticRegeneration, original_ouvp_steps
from polyscore.errors import CheckpointError, ConfigError, InputError
from polyscore.noise import Recorded
from polyscore.processes import OUVE, OUVP
from polyscore.samplers import grids, sample
from polyscore.samplers.langevin import PredictorCorrector
from polyscore.samplers.reverse import ReverseDiffusion
from polyscore.state import Given

TINY: dict[str, Any] = {"nf": 4, "ch_mult": (1, 1), "num_res_blocks": 1, "attn_resolutions": ()}


def net(seed: int, inputs: int, **settings: Any) -> NCSNpp:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        size = {**TINY, "init_scale": 1.0, "centered": False, **settings}
        return NCSNpp(**size, input_channels=2 * inputs, discriminative=inputs == 1).eval()


def complex_noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("condition", ["noisy", "post_denoiser", "both"])
@torch.no_grad()
def test_conditions(condition: Any) -> None:
    predictor, score = net(1, 1), net(2, 3 if condition == "both" else 2)
    model = StochasticRegeneration(
        SpectrogramPredictor(predictor), SpectrogramDenoiser(score, OUVE(), c_out="-1"), condition=condition
    )
    x, noisy = complex_noise(2, 1, 8, 4), complex_noise(2, 1, 8, 4, seed=1)
    given = model.given(noisy)
    estimate = predictor(noisy)
    assert torch.equal(given.y, estimate)
    seen = {"noisy": [noisy], "post_denoiser": [estimate], "both": [noisy, estimate]}[condition]
    expected = -score(torch.cat([x, *seen], dim=1), torch.tensor([0.4, 0.4]))
    assert torch.equal(model.score(x, 0.4, given), expected)
    a, b, s = (float(c) for c in OUVE().coefs_of(0.4))
    x0 = (x + s**2 * expected - b * estimate) / a
    assert torch.allclose(model(x, 0.4, given).x0, x0, atol=1e-5)
    with pytest.raises(ConfigError, match="condition is 'all'"):
        StochasticRegeneration(predictor, model.denoiser, condition="all")  # type: ignore[arg-type]


# ---------------------------------------------------------------------- checkpoints


def checkpoint(networks: dict[str, nn.Module], **hyper: Any) -> dict[str, Any]:
    """Raw weights 1 larger than the averaged ones."""
    average = [value.detach().clone() for part in networks.values() for value in part.parameters()]
    state = {f"{prefix}.{name}": value + 1 for prefix, part in networks.items() for name, value in part.state_dict().items()}
    settings = {"sde": "ouve", "t_eps": 0.04, "spec_factor": 0.33, "spatial_channels": 1, "return_time": False, **hyper}
    return {"state_dict": state, "hyper_parameters": settings, "ema": {"shadow_params": average, "num_updates": 5}}


def save(path: Path, content: dict[str, Any]) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("condition", ["noisy", "post_denoiser", "both"])
@torch.no_grad()
def test_regeneration(tmp_path: Path, condition: str) -> None:
    predictor, score = net(1, 1), net(2, 3 if condition == "both" else 2)
    # the settings that the original leaves behind say input_channels 6 and discriminative False of both networks
    hyper = {**TINY, "backbone_denoiser": "ncsnpp", "backbone_score": "ncsnpp", "condition": condition}
    hyper.update(mode="regen-joint-training", input_channels=6, discriminative=False)
    path = save(tmp_path / "storm.ckpt", checkpoint({"denoiser_net": predictor, "score_net": score}, **hyper))
    read = upstream.read(path)
    assert isinstance(read.model, StochasticRegeneration)
    assert (read.sampler, read.steps, read.t_eps, read.frame_padding) == ("pc-2023", 50, 0.04, "zeros")
    assert read.codec == SpectrogramCodec(factor=0.33)
    ours = [*read.model.predictor.parameters(), *read.model.denoiser.parameters()]
    theirs = [*predictor.parameters(), *score.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    raw = upstream.read(path, weights="raw").model
    assert all(torch.equal(a, b + 1) for a, b in zip(raw.parameters(), theirs, strict=True))
    facts = upstream.describe(path)
    assert facts is not None
    assert (facts["kind"], facts["network"], facts["condition"]) == ("storm", "ncsnpp and ncsnpp", condition)
    assert facts["parameters"] == sum(value.numel() for value in theirs)
    assert "predictor and score model" in facts["what"]


@torch.no_grad()
def test_score_only_and_denoiser_only(tmp_path: Path) -> None:
    score = net(1, 2)
    path = save(tmp_path / "score.ckpt", checkpoint({"dnn": score}, backbone="ncsnpp", loss_type="mse", **TINY))
    model = upstream.read(path).model
    assert isinstance(model, SpectrogramDenoiser)
    x, y = complex_noise(1, 1, 8, 4), complex_noise(1, 1, 8, 4, seed=1)
    assert torch.equal(model.score(x, 0.3, Given(y=y)), -score(torch.cat([x, y], 1), torch.tensor([0.3])))
    predictor = net(2, 1)
    content = checkpoint({"dnn": predictor}, backbone="ncsnpp", discriminative=True, **TINY)
    read = upstream.read(save(tmp_path / "predictor.ckpt", content))
    assert torch.equal(read.model(y[0, 0]), predictor(y)[0, 0])
    wave = 0.1 * torch.randn(1, 3000, generator=torch.Generator().manual_seed(3))
    enhancer = SpeechEnhancer.from_pretrained(tmp_path / "predictor.ckpt")
    assert enhancer.method(preset="paper").nfe == 1
    assert enhancer.enhance(wave, 16000).shape == wave.shape


@torch.no_grad()
def test_predictors_of_other_kinds(tmp_path: Path) -> None:
    gagnet = GaGNet(c=8, cd1=8, q=1, p=1, dilas=(1, 2)).eval()
    hyper = {"c": 8, "cd1": 8, "q": 1, "p": 1, "dilas": [1, 2], "cin": 2, "dnn_channels": 1}
    content = checkpoint({"dnn": gagnet}, backbone="gagnet", discriminative=True, **hyper)
    read = upstream.read(save(tmp_path / "gagnet.ckpt", content))
    y = complex_noise(1, 1, 256, 5)
    assert torch.equal(read.model(y), gagnet(y))
    tasnet = ConvTasNet().eval()
    content = checkpoint({"dnn": tasnet}, backbone="convtasnet", discriminative=True, causal=False)
    enhancer = SpeechEnhancer.from_pretrained(save(tmp_path / "tasnet.ckpt", content))
    wave = 0.1 * torch.randn(1, 3001, generator=torch.Generator().manual_seed(3))
    level = wave.abs().max()
    assert torch.allclose(enhancer.enhance(wave, 16000), tasnet(wave / level) * level, atol=1e-6)


def test_batch_statistics_are_read_with_the_averaged_weights(tmp_path: Path) -> None:
    gagnet = GaGNet(c=8, cd1=8, q=1, p=1, dilas=(1, 2), norm_type="BN")
    hyper = {"c": 8, "cd1": 8, "q": 1, "p": 1, "dilas": [1, 2], "norm_type": "BN"}
    content = checkpoint({"dnn": gagnet}, backbone="gagnet", discriminative=True, **hyper)
    model = upstream.read(save(tmp_path / "gagnet.ckpt", content)).model
    assert isinstance(model, SpectrogramPredictor)
    for name, value in gagnet.state_dict().items():
        buffer = "running" in name or "num_batches" in name
        assert torch.equal(model.network.state_dict()[name], value + 1 if buffer else value), name


@pytest.mark.parametrize(
    ("hyper", "text"),
    [
        ({"backbone_denoiser": "none"}, "backbone_denoiser is 'none'; regeneration needs a predictor of spectrograms"),
        ({"backbone_denoiser": "convtasnet"}, "backbone_denoiser is 'convtasnet'"),
        ({"backbone_score": "gagnet"}, "its score network is 'gagnet', which knows no time"),
        ({"backbone_denoiser": "ae-ncsnpp"}, "its network is 'ae-ncsnpp'; expected one of ncsnpp, ncsnpplarge"),
        ({"condition": "everything"}, "its condition is 'everything'"),
        ({"sde": "ouvp"}, "its hyper_parameters lack beta_min and beta_max"),
        ({"sde": "sbve"}, "its process is 'sbve'; expected one of ouve, ouvp"),
        ({"spatial_channels": 2}, "spatial_channels = 2; expected 1"),
    ],
)
def test_what_no_file_has_is_named(tmp_path: Path, hyper: dict[str, Any], text: str) -> None:
    both: dict[str, nn.Module] = {"denoiser_net": net(1, 1), "score_net": net(2, 3)}
    content = checkpoint(both, **{**TINY, "backbone_denoiser": "ncsnpp", "backbone_score": "ncsnpp", **hyper})
    with pytest.raises(CheckpointError, match=text):
        upstream.read(save(tmp_path / "storm.ckpt", content))


# ---------------------------------------------------------------------- end to end


def enhancer(**settings: Any) -> SpeechEnhancer:
    model = StochasticRegeneration(
        SpectrogramPredictor(net(1, 1, init_scale=0.1)), SpectrogramDenoiser(net(2, 3, init_scale=0.1), OUVE(), c_out="-1")
    )
    return SpeechEnhancer(model, codec=SpectrogramCodec(n_fft=62, hop=16), frame_multiple=4, **settings).eval()


def test_regression_skips_the_diffusion_and_saved_models_agree(tmp_path: Path) -> None:
    wave = 0.1 * torch.randn(1, 3000, generator=torch.Generator().manual_seed(0))
    storm = enhancer(sampler="pc-2023", steps=3)
    assert isinstance(storm.model, StochasticRegeneration)
    alone = SpeechEnhancer(storm.model.predictor, codec=storm.codec, frame_multiple=4)
    assert torch.equal(storm.enhance(wave, 16000, sampler="regression"), alone.enhance(wave, 16000))
    assert storm.method(preset="paper").name == "pc-2023"
    hub.save(tmp_path / "storm", storm)
    again = SpeechEnhancer.from_pretrained(tmp_path / "storm")
    for preset in ("fast", "paper"):
        assert torch.equal(again.enhance(wave, 16000, preset=preset), storm.enhance(wave, 16000, preset=preset))
    plain = SpeechEnhancer(storm.model.denoiser, codec=storm.codec, frame_multiple=4)
    with pytest.raises(InputError, match="sampler 'regression' is for models with a predictor inside"):
        plain.enhance(wave, 16000, sampler="regression")


# ---------------------------------------------------------------------- the variance-preserving process


@pytest.mark.parametrize("stiffness", [1.0, 2.5])
def test_the_process_that_storm_trains_has_the_variance_as_standard_deviation(stiffness: float) -> None:
    bad, good = OUVPWithoutRoot(0.1, 2.0, stiffness), OUVP(0.1, 2.0, stiffness)
    for t in (0.03, 0.4, 1.0):
        exponent = 0.5 * stiffness * t * (t * 1.9 + 0.2)  # k B
        a, b, s = (float(c) for c in bad.coefs_of(t))
        assert (a, b) == pytest.approx((math.exp(-exponent / 2), 1 - math.exp(-exponent / 2)))
        assert s == pytest.approx((1 - math.exp(-exponent)) / stiffness)
        assert float(good.coefs_of(t).s) == pytest.approx(math.sqrt(s))


def test_storm_sampler_of_that_process_follows_the_original_rule() -> None:
    """x <- x - f / N + beta / N score + sqrt(beta / N) z, f = k beta (y - x) / 2, at t = linspace(1, t_eps, N)."""
    process = OUVPWithoutRoot(0.1, 2.0, 1.5)
    y, steps = complex_noise(1, 1, 3, 2, seed=9).to(torch.complex128), 4
    draws = [complex_noise(1, 1, 3, 2, seed=i).to(torch.complex128) for i in range(steps + 1)]

    class Denoiser(nn.Module):
        def score(self, x: Tensor, t: float) -> Tensor:
            return -x * (1 + t)

        def forward(self, x: Tensor, t: float, given: Given) -> Any:
            from polyscore.denoisers import Prediction

            a, b, s = (float(c) for c in process.coefs_of(t))
            return Prediction((x + s**2 * self.score(x, t) - b * given.y) / a)

    method = choose(process, sampler="predictor-2023", steps=steps)
    assert method.nfe == steps
    ours = sample(
        method.sampler, Denoiser(), process, y, steps=steps, grid=method.grid, given=Given(y=y), noise=Recorded(draws)
    )
    x = mean = y + float(process.coefs_of(1.0).s) * draws[0]
    for t, z in zip(torch.linspace(1, 0.03, steps).tolist(), draws[1:], strict=True):
        beta = 0.1 + t * 1.9
        mean = x - 0.5 * 1.5 * beta * (y - x) / steps + beta / steps * Denoiser().score(x, t)
        x = mean + math.sqrt(beta / steps) * z
    assert torch.allclose(ours, mean, atol=1e-6)
    with pytest.raises(InputError, match="the process is OUVE; expected OUVP"):
        original_ouvp_steps(OUVE(), [1.0, 0.0])
    with pytest.raises(InputError):
        sample(
            PredictorCorrector(ReverseDiffusion(original_ouvp_steps), None), Denoiser(), OUVE(), y,
            steps=2, grid=grids.SGMSE(0.03), given=Given(y=y),
        )  # fmt: skip
