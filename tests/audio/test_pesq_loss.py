"""The differentiable PESQ: the numbers of torch-pesq, its invariances, its gradient, and its agreement with ITU-T P.862.2."""

import math
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from polyscore.audio.losses import PesqLoss, half_l1
from polyscore.audio.losses.rates import Resample
from polyscore.errors import InputError

RATE = 16000


def signals(rate: int = RATE, seconds: float = 1.37) -> tuple[Tensor, Tensor]:
    """A buzz with a falling spectrum whose level beats, and a dense inharmonic chord: (1, L) each."""
    time = torch.arange(round(rate * seconds), dtype=torch.float64) / rate
    k = torch.arange(1, 61, dtype=torch.float64)[:, None]
    buzz = (torch.sin(2 * math.pi * 118 * k * time + 0.7 * k.square()) / k).sum(0)
    speech = buzz * (0.6 + 0.4 * torch.sin(2 * math.pi * 3.3 * time))
    chord = torch.sin(2 * math.pi * (53.1 + 128.7 * k) * time + 1.3 * k.square()).sum(0)
    return 0.1 * speech[None], 0.01 * chord[None]


# loss and opinion score of torch-pesq 0.1.2, run in float64 (its resampler too)
@pytest.mark.parametrize(
    ("rate", "seconds", "gain", "loss", "mos"),
    [
        (16000, 2.0, 0.003, 0.4300857, 4.4021372),
        (16000, 2.0, 0.03, 1.3410392, 3.4846836),
        (16000, 2.0, 0.3, 3.6360779, 1.2650581),
        (16000, 1.37, 0.03, 1.3514738, 3.4712385),
        (48000, 2.0, 0.003, 0.3425392, 4.4603897),
        (48000, 2.0, 0.03, 1.069729, 3.8150154),
        (48000, 2.0, 0.3, 3.2332628, 1.438939),
        (8000, 2.0, 0.03, 0.0981444, 4.5980168),
        (8000, 2.0, 0.3, 1.8079442, 2.8566123),
    ],
)
def test_the_numbers_of_torch_pesq(rate: int, seconds: float, gain: float, loss: float, mos: float) -> None:
    clean, noise = signals(rate, seconds)
    score = PesqLoss(rate)
    assert score(clean + gain * noise, clean).item() == pytest.approx(loss, rel=5e-6)
    assert score.mos(clean + gain * noise, clean).item() == pytest.approx(mos, abs=5e-6)
    single = score((clean + gain * noise).float(), clean.float())
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(loss, rel=1e-4)


def test_equal_signals_cost_nothing_and_have_no_gradient() -> None:
    clean = signals()[0].float()
    estimate = clean.clone().requires_grad_()
    loss = PesqLoss()(estimate, clean)
    assert loss.item() < 1e-15
    (gradient,) = torch.autograd.grad(loss.sum(), estimate)
    assert not gradient.any()
    assert PesqLoss().mos(clean, clean).item() == pytest.approx(4.6439, abs=1e-4)  # the most that P.862.2 gives


def test_the_loss_grows_with_the_noise() -> None:
    clean, noise = signals()
    gains = torch.logspace(-3.5, -0.5, 10, dtype=torch.float64)[:, None]
    losses = PesqLoss()(clean + gains * noise, clean.expand(10, -1))
    assert (losses.diff() > 0.05).all()


def test_the_level_of_either_signal_does_not_matter() -> None:
    clean, noise = signals()
    expected = PesqLoss()(clean + 0.03 * noise, clean)
    found = PesqLoss()(0.2 * (clean + 0.03 * noise), 3 * clean)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)


def test_pairs_do_not_touch_each_other() -> None:
    clean, noise = signals()
    estimates = torch.cat([clean + 0.1 * noise, clean, clean + 0.01 * noise])
    together = PesqLoss()(estimates, clean.expand(3, -1))
    alone = [PesqLoss()(one[None], clean).item() for one in estimates]
    assert together.tolist() == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize("rate", [16000, 24000])
def test_the_gradient_is_the_difference_quotient(rate: int) -> None:
    clean, noise = signals(rate, 0.5)
    score = PesqLoss(rate)
    estimate = (clean + 0.02 * noise).requires_grad_()
    (gradient,) = torch.autograd.grad(score(estimate, clean).sum(), estimate)
    with torch.no_grad():
        for direction in (noise, torch.roll(clean, 7, dims=1)):
            step = 1e-6 * direction
            quotient = (score(estimate + step, clean) - score(estimate - step, clean)) / 2e-6
            assert (gradient * direction).sum().item() == pytest.approx(quotient.item(), rel=1e-5)


def test_descent_on_the_gradient_takes_the_noise_out() -> None:
    clean, noise = signals(seconds=0.5)
    score, gain = PesqLoss(), torch.tensor(0.1, dtype=torch.float64)
    for _ in range(30):
        gain.requires_grad_()
        (slope,) = torch.autograd.grad(score(clean + gain * noise, clean).sum(), gain)
        gain = (gain * torch.exp(-0.2 * slope.sign())).detach()
    assert gain < 1e-3


@pytest.mark.parametrize("length", [1, 10, 300, 5000])
def test_short_waves_have_a_finite_loss_and_gradient(length: int) -> None:
    clean, noise = (wave[:, :length].float() for wave in signals())
    estimate = (clean + 0.1 * noise).requires_grad_()
    loss = PesqLoss()(estimate, clean)
    (gradient,) = torch.autograd.grad(loss.sum(), estimate)
    assert torch.isfinite(loss).all()
    assert torch.isfinite(gradient).all()


def test_silence_is_safe_on_either_side() -> None:
    clean, noise = (wave.float() for wave in signals())
    silence = torch.zeros_like(clean)
    estimates = torch.cat([clean, silence, silence, clean + noise]).requires_grad_()
    loss = PesqLoss()(estimates, torch.cat([silence, silence, clean, clean]))
    (gradient,) = torch.autograd.grad(loss.sum(), estimates)
    assert loss[:2].tolist() == [0.0, 0.0]
    assert (loss[2:] > 1).all()
    assert torch.isfinite(gradient).all()
    assert not gradient[:2].any()


def test_autocast_does_not_touch_it() -> None:
    clean, noise = (wave.float() for wave in signals())
    expected = PesqLoss()(clean + 0.03 * noise, clean)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert PesqLoss()(clean + 0.03 * noise, clean).item() == expected.item()
    assert not PesqLoss().state_dict()  # a checkpoint holds weights, not tables


def test_it_orders_speech_in_noise_as_the_standard_does(reference: Path) -> None:
    pesq = pytest.importorskip("pesq")
    generator = torch.Generator().manual_seed(0)
    standard, ours = [], []
    for path in sorted((reference / "audio/speech").glob("spk*_snt1.wav")):
        clean = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
        for snr in range(-5, 30, 5):
            noise = torch.randn(len(clean), generator=generator)
            noisy = clean + noise * clean.norm() / noise.norm() * 10 ** (-snr / 20)
            standard.append(pesq.pesq(RATE, clean.numpy(), noisy.numpy(), "wb"))
            ours.append(PesqLoss().mos(noisy[None], clean[None]).item())
    ranks = torch.tensor([standard, ours]).argsort(dim=1).argsort(dim=1).double()
    assert torch.corrcoef(ranks)[0, 1] > 0.9  # Spearman's


@pytest.mark.parametrize(("rate", "target"), [(48000, 16000), (44100, 16000), (8000, 16000)])
def test_resampling_keeps_what_both_rates_hold(rate: int, target: int) -> None:
    def tone(at: int) -> Tensor:
        time = torch.arange(at, dtype=torch.float64) / at
        return (torch.sin(2 * math.pi * 700 * time) + 0.3 * torch.cos(2 * math.pi * 2300 * time))[None]

    found = Resample(rate, target)(tone(rate))
    assert found.shape == (1, target)
    assert (found - tone(target))[:, 200:-200].abs().max() < 3e-3
    with pytest.raises(InputError, match="expected positive"):
        Resample(0, 16000)


def test_half_l1_is_half_the_mean_deviation() -> None:
    clean = signals()[0]
    assert half_l1(torch.cat([clean + 0.5, clean - 1]), clean.expand(2, -1)).tolist() == pytest.approx([0.25, 0.5])


def test_shapes_must_agree() -> None:
    for score in (PesqLoss(), half_l1):
        with pytest.raises(InputError, match=r"\(1, 10\) and \(1, 11\)"):
            score(torch.zeros(1, 10), torch.zeros(1, 11))
    with pytest.raises(InputError, match=r"expected equal ones \(B, L\)"):
        PesqLoss()(torch.zeros(10), torch.zeros(10))
