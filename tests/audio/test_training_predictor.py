"""The predictor's loss in closed form, its rate schedule, and a few steps of a real fit."""

import math
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from polyscore import hub
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.losses import PesqLoss, band_correlation, third_octaves
from polyscore.audio.networks.dualpath import DualPathNet
from polyscore.audio.pipeline import SpeechEnhancer
from polyscore.audio.training import PredictorTraining, Reconstruction
from polyscore.training.ema import EMA, Constant
from polyscore.training.optimiser import AdamW


class Gain(nn.Module):
    """A network that multiplies by one learned number."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, spec: Tensor) -> Tensor:
        return self.value * spec


class Tones(Dataset[dict[str, Tensor]]):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        time = torch.arange(4000) / 16000
        clean = 0.3 * torch.sin(2 * math.pi * (200 + 40 * (index % 8)) * time)
        return {"clean": clean, "noisy": clean + 0.1 * torch.randn(4000, generator=generator)}


def test_loss_of_a_gain_is_known() -> None:
    codec = SpectrogramCodec(transform="none")
    module = PredictorTraining(Gain(0.75), Reconstruction(magnitude_weight=0.25, wave_weight=0.1, codec=codec))
    wave = torch.randn(3, 4000, generator=torch.Generator().manual_seed(0))
    power = codec.encode(wave).abs().square().mean(dim=(1, 2))
    expected = 0.25**2 * 1.25 * power + 0.1 * 0.25 * wave.abs().mean(dim=1)
    assert module.losses({"clean": wave, "noisy": wave})[0].tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_loss_does_not_depend_on_the_factor_of_the_codec() -> None:
    wave, clean = torch.randn(2, 2, 4000, generator=torch.Generator().manual_seed(0))
    losses = []
    for factor in (0.15, 2.0):
        module = PredictorTraining(Gain(0.7), Reconstruction(codec=SpectrogramCodec(factor=factor)))
        losses.append(module.losses({"clean": clean, "noisy": wave})[0])
    assert losses[0].tolist() == pytest.approx(losses[1].tolist(), rel=1e-4)


def test_the_correlation_term_is_added_with_its_weight() -> None:
    wave, clean = torch.randn(2, 2, 16000, generator=torch.Generator().manual_seed(0))
    batch = {"clean": clean, "noisy": clean + wave}
    plain, weighted = (
        PredictorTraining(Gain(0.7), Reconstruction(correlation_weight=w)).losses(batch)[0] for w in (0.0, 0.5)
    )
    module = PredictorTraining(Gain(0.7))
    powers = [SpectrogramCodec().stft(x).abs().square() for x in (module(batch["noisy"]), clean)]
    expected = 0.5 * (1 - band_correlation(powers[0], powers[1], third_octaves(256, 16000), frames=48))
    assert (weighted - plain).tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_the_distortion_term_is_the_negative_ratio_in_decibels() -> None:
    clean = torch.randn(3, 8000, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(3, 8000, generator=torch.Generator().manual_seed(1))
    noise = noise - (noise * clean).sum(1, keepdim=True) / clean.square().sum(1, keepdim=True) * clean
    size = clean.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
    clean[2], noise[2] = 0, 0
    noisy = 0.3 * (clean + size * noise * torch.tensor([[0.1], [1e-4], [0.0]]))
    plain, weighted = (
        PredictorTraining(Gain(1.0), Reconstruction(distortion_weight=w)).losses({"clean": clean, "noisy": noisy})[0]
        for w in (0.0, 0.01)
    )
    expected = [0.1 * math.log10(0.01 + 0.001), 0.1 * math.log10(0.001), 0.0]
    assert (weighted - plain).tolist() == pytest.approx(expected, abs=2e-3)


def test_the_pesq_term_is_added_with_its_weight() -> None:
    wave, clean = 0.1 * torch.randn(2, 2, 8000, generator=torch.Generator().manual_seed(0))
    batch = {"clean": clean, "noisy": clean + wave}
    plain, weighted = (
        PredictorTraining(Gain(0.7), Reconstruction(pesq_weight=w)).losses(batch)[0] for w in (0.0, 0.01)
    )
    expected = 0.01 * PesqLoss()(PredictorTraining(Gain(0.7))(batch["noisy"]), clean)
    assert (weighted - plain).tolist() == pytest.approx(expected.tolist(), rel=1e-3)


def test_training_starts_from_the_weights_of_a_saved_enhancer(tmp_path: Path) -> None:
    saved = DualPathNet(channels=(4, 4, 4), hidden=4, depth=1)
    hub.save(tmp_path / "before", SpeechEnhancer(saved, codec=SpectrogramCodec()))
    module = PredictorTraining(DualPathNet(channels=(4, 4, 4), hidden=4, depth=1), start=str(tmp_path / "before"))
    for found, expected in zip(module.network.parameters(), saved.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_a_short_fit_learns_the_best_gain_and_follows_the_schedule(tmp_path: Path) -> None:
    module = PredictorTraining(
        Gain(0.2),
        Reconstruction(wave_weight=0.0, codec=SpectrogramCodec(transform="none")),
        optimiser=AdamW(0.05, warmup=5, decay="cosine", floor=0.1),
    )
    data = DataLoader(Tones(), batch_size=8)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=60,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=1,
        default_root_dir=str(tmp_path),
        callbacks=[EMA(Constant(0.5))],
    )
    trainer.fit(module, data, data)
    codec = SpectrogramCodec(transform="none")
    pairs = [Tones()[i] for i in range(64)]
    noisy = codec.encode(torch.stack([p["noisy"] for p in pairs]))
    clean = codec.encode(torch.stack([p["clean"] for p in pairs]))
    gains = torch.linspace(0.3, 1.2, 181)
    loss = [((g * noisy - clean).abs().square() + 0.25 * (g * noisy.abs() - clean.abs()).square()).mean().item() for g in gains]
    (found,) = module.network.parameters()
    assert found.item() == pytest.approx(float(gains[int(torch.tensor(loss).argmin())]), abs=0.05)
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    assert rate == pytest.approx(0.1 * 0.05, rel=1e-6)


def test_the_network_improves_in_a_few_steps() -> None:
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    module = PredictorTraining(DualPathNet(256, (8, 12, 16), 12, depth=1))
    torch.random.set_rng_state(torch_state)
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    batches = list(DataLoader(Tones(), batch_size=8))
    history = []
    for step in range(24):
        loss = module.losses(batches[step % len(batches)])[0].mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        history.append(loss.item())
    assert sum(history[-4:]) < 0.5 * sum(history[:4])


def test_the_trained_part_is_an_enhancer_that_can_be_saved(tmp_path: Path) -> None:
    module = PredictorTraining(DualPathNet(256, (8, 8, 8), 8, depth=1)).eval()
    hub.save(tmp_path / "model", module.enhancer)
    wave = 0.1 * torch.randn(1, 6000, generator=torch.Generator().manual_seed(0))
    loaded = SpeechEnhancer.from_pretrained(tmp_path / "model").enhance(wave, 16000)
    with torch.no_grad():
        expected = module(wave / wave.abs().max()) * wave.abs().max()
    assert (loaded - expected).abs().max() < 1e-5
