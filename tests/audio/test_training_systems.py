"""Every configuration of speech trains two steps and leaves an enhancer that enhances; what is trained and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from polyscore import hub
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.consistency import ConsistencyModel
from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.audio.networks.dualpath import DualPathNet
from polyscore.audio.networks.dualpath_refiner import DualPathRefiner
from polyscore.audio.pipeline import SpeechEnhancer
from polyscore.audio.storm import StochasticRegeneration
from polyscore.audio.training import OftenAtStart, Reconstruction, Regeneration, SpeechTraining
from polyscore.errors import ConfigError
from polyscore.processes import VEBridge
from polyscore.training.engine import assemble

CONFIGS = Path(__file__).parents[2] / "configs" / "audio"
PUBLISHED = [path.stem for path in sorted(CONFIGS.glob("*.yaml")) if "SpeechPairs" in path.read_text()]
SMALL = (4, 4, 4)
Wave = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pairs of a second for training and one for validation."""
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    time = np.arange(16000) / 16000
    for part, count in (("train", 3), ("valid", 1)):
        for number in range(count):
            clean = 0.3 * np.sin(2 * np.pi * (200 + 50 * number) * time)
            for kind, wave in (("clean", clean), ("noisy", clean + 0.05 * rng.standard_normal(16000))):
                (folder / part / kind).mkdir(parents=True, exist_ok=True)
                soundfile.write(folder / part / kind / f"{number}.wav", wave, 16000)
    return folder


def test_there_is_a_configuration_of_every_system() -> None:
    expected = {"sgmse_ouve", "sgmse_sb", "sgmse_48k", "storm", "flow", "resshift", "rddm", "resfusion", "consistency"}
    assert expected <= set(PUBLISHED)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_configuration_trains_and_what_it_leaves_enhances(name: str, pairs: Path, tmp_path: Path) -> None:
    """With a tiny network and 32 frequencies, everything else as in the file."""
    enhancer = "--model.init_args.enhancer.init_args"
    model = f"{enhancer}.model.init_args"
    parts = {"storm": (f"{model}.predictor.init_args", f"{model}.denoiser.init_args")}.get(name, (model,))
    run = assemble(
        [CONFIGS / f"{name}.yaml"],
        folder=tmp_path,
        overrides=[
            *(f"{part}.network.init_args.{key}" for part in parts for key in ("nf=4", "ch_mult=[1,1]", "num_res_blocks=1")),
            f"{enhancer}.codec.init_args.n_fft=62",
            f"{enhancer}.codec.init_args.hop=16",
            f"{enhancer}.frame_multiple=2",
            *(["--model.init_args.objective.init_args.codec={n_fft: 62, hop: 16}"] if name == "sgmse_sb" else []),
            f"--data.init_args.path={pairs}",
            "--data.init_args.frames=16",
            "--data.init_args.hop=16",
            "--data.init_args.batch_size=2",
            "--data.init_args.workers=0",
            "--trainer.max_steps=2",
            "--trainer.accelerator=cpu",
        ],
    )
    before = {key: value.clone() for key, value in run.module.state_dict().items()}
    with run.claim():
        run.fit()
    moved = [key for key, value in run.module.state_dict().items() if not torch.equal(value, before[key])]
    assert moved
    loaded = SpeechEnhancer.from_pretrained(tmp_path / "model")
    trained: Any = run.module
    assert loaded.model.process == trained.enhancer.model.process
    assert loaded.codec == trained.enhancer.codec
    wave = 0.1 * torch.randn(800, generator=torch.Generator().manual_seed(0))
    rate = loaded.sample_rate
    for preset in ("fast", "balanced"):
        out = loaded.enhance(wave, rate, preset=preset)
        assert out.shape == wave.shape
        assert torch.isfinite(out).all()
    calls = loaded.method(preset="paper")
    assert (calls.steps, calls.name) == PAPER[name]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["speech_demo", "storm_demo"])
def test_the_recipes_of_the_shipped_models_run_on_other_folders(name: str, pairs: Path, tmp_path: Path) -> None:
    run = assemble(
        [CONFIGS / f"{name}.yaml"],
        folder=tmp_path,
        overrides=[
            f"--data.init_args.clean={{{pairs / 'train' / 'clean'}: 1}}",
            f"--data.init_args.noise={{{pairs / 'train' / 'noisy'}: 1}}",
            "--data.init_args.rooms=[]",
            "--data.init_args.seconds=0.25",
            "--data.init_args.batch_size=2",
            "--data.init_args.items_per_epoch=4",
            "--data.init_args.validation_items=1",
            "--trainer.max_steps=2",
        ],
    )
    with run.claim():
        run.fit()
    wave = 0.1 * torch.randn(800, generator=torch.Generator().manual_seed(0))
    ours, shipped = (SpeechEnhancer.from_pretrained(model) for model in (tmp_path / "model", "speech-16k"))
    found, before = (model.enhance(wave, 16000, preset="paper") for model in (ours, shipped))
    assert 1e-4 * before.norm() < (found - before).norm() < 10 * wave.norm()
    if name == "storm_demo":  # the predictor in it is the shipped one, untouched
        assert torch.equal(ours.enhance(wave, 16000, sampler="regression"), before)


PAPER = {
    "sgmse_ouve": (30, "pc"), "sgmse_denoiser": (30, "pc"), "sgmse_48k": (30, "pc"), "sgmse_sb": (50, "ode-upstream"),
    "storm": (50, "pc-2023"), "flow": (5, "ode"), "resshift": (15, "sde"), "rddm": (5, "ode"), "resfusion": (5, "sde"),
    "consistency": (1, "ode"),
}  # fmt: skip


# ---------------------------------------------------------------------- predictor and refiner


def predictor() -> DualPathNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return DualPathNet(256, SMALL, 4, depth=1)


def pair() -> SpeechEnhancer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        refiner = SpectrogramDenoiser(DualPathRefiner(256, 3, SMALL, hidden=4, depth=1), VEBridge(c=0.01), predicts="x0")
        model = StochasticRegeneration(DualPathNet(256, SMALL, 4, depth=1), refiner)
    return SpeechEnhancer(model, codec=SpectrogramCodec())


@pytest.fixture
def saved(tmp_path: Path) -> str:
    hub.save(tmp_path / "predictor", SpeechEnhancer(predictor(), codec=SpectrogramCodec()))
    return str(tmp_path / "predictor")


def batch() -> dict[str, Tensor]:
    clean, noise = 0.2 * torch.randn(2, 2, 4000, generator=torch.Generator().manual_seed(0))
    return {"clean": clean, "noisy": clean + noise}


def test_a_pair_starts_as_the_predictor_it_starts_from(saved: str) -> None:
    module = SpeechTraining(pair(), Reconstruction(), OftenAtStart(0.5), start=saved)
    wave = batch()["noisy"][0]
    expected = SpeechEnhancer.from_pretrained(saved).enhance(wave, 16000)
    for steps in (1, 3):
        assert torch.allclose(module.enhancer.eval().enhance(wave, 16000, sampler="ode", steps=steps), expected, atol=1e-5)
    inner = module.enhancer.model.denoiser.network.blocks.state_dict()  # type: ignore[union-attr]
    for name, value in predictor().blocks.state_dict().items():
        assert torch.equal(inner[name], value)


def test_a_model_says_what_its_presets_are(tmp_path: Path) -> None:
    enhancer = SpeechEnhancer(pair().model, codec=SpectrogramCodec(), presets={"fast": ("ode", 1), "balanced": ("sde", 2)})
    hub.save(tmp_path / "pair", enhancer)
    loaded = SpeechEnhancer.from_pretrained(tmp_path / "pair")
    asked: list[dict[str, Any]] = [{"preset": "fast"}, {}, {"steps": 3}, {"sampler": "multistep"}, {"preset": "paper"}]
    found = [loaded.method(**words) for words in asked]
    assert [(method.name, method.steps) for method in found] == [
        ("ode", 1), ("sde", 2), ("sde", 3), ("multistep", 2), ("ode-upstream", 30)
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["fixed", "joint"])
def test_the_predictor_is_trained_or_left_alone(saved: str, kind: Any) -> None:
    module = SpeechTraining(pair(), Reconstruction(), OftenAtStart(0.5), start=saved, predictor=kind)
    losses, _ = module.losses(batch(), module.times, "test")
    torch.autograd.backward(losses.mean())
    gradients = [parameter.grad for parameter in module.enhancer.model.predictor.parameters()]  # type: ignore[union-attr]
    assert all((grad is None) == (kind == "fixed") for grad in gradients)
    assert module.enhancer.model.denoiser.network.up[-1].weight.grad.abs().max() > 0  # type: ignore[union-attr, index]


def test_at_the_start_the_loss_is_that_of_the_predictor(saved: str) -> None:
    """At t = 1 the state is the estimate, and the untrained refiner returns it."""
    loss = Reconstruction(correlation_weight=0.1)
    module, given = SpeechTraining(pair(), loss, start=saved), batch()
    x0, end, _ = module.to_batch(given)
    found = loss(module.denoiser, module.denoiser.process, x0, t=torch.ones(2, dtype=torch.float64), given=end)
    codec = SpectrogramCodec()
    estimate = predictor()(codec.encode(given["noisy"]))
    expected = loss.compare(estimate, codec.encode(given["clean"]))[0]
    assert found[:, 0].tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_what_cannot_be_trained_is_refused(saved: str) -> None:
    with pytest.raises(ConfigError, match="Reconstruction has codec .*factor=0.3.*; expected the enhancer's"):
        SpeechTraining(pair(), Regeneration(Reconstruction(codec=SpectrogramCodec(factor=0.3))))
    with pytest.raises(ConfigError, match="no codec or no process"):
        SpeechTraining(SpeechEnhancer(predictor(), codec=SpectrogramCodec()), Reconstruction())
    student = ConsistencyModel(DualPathRefiner(256, 2, SMALL, hidden=4, depth=1), VEBridge())
    with pytest.raises(ConfigError, match="predictor is 'fixed', but there is none"):
        SpeechTraining(SpeechEnhancer(student, codec=SpectrogramCodec()), Reconstruction(), predictor="fixed")
    with pytest.raises(ConfigError, match="its weights do not fit ConsistencyModel"):
        SpeechTraining(SpeechEnhancer(student, codec=SpectrogramCodec()), Reconstruction(), start=saved)


def parts(clean: Wave, *waves: Wave) -> list[tuple[Wave, Wave]]:
    """Each wave and the part of it that is the clean one."""
    return [(wave, (wave @ clean) / (clean @ clean) * clean) for wave in waves]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_previews_are_scores_waves_and_pictures(pairs: Path, tmp_path: Path) -> None:
    run = assemble(
        [CONFIGS / "sgmse_sb.yaml"],
        folder=tmp_path,
        overrides=[
            "--model.init_args.enhancer.init_args.model.init_args.network.init_args.nf=4",
            "--model.init_args.enhancer.init_args.model.init_args.network.init_args.ch_mult=[1,1]",
            "--model.init_args.enhancer.init_args.model.init_args.network.init_args.num_res_blocks=1",
            f"--data.init_args.path={pairs}",
            "--data.init_args.frames=16",
            "--data.init_args.workers=0",
            "--trainer.max_epochs=1",
            "--trainer.accelerator=cpu",
            "--trainer.callbacks=[{class_path: polyscore.audio.training.SpeechPreview, init_args: {every_n_epochs: 1}}]",
        ],
    )
    with run.claim():
        run.fit()
    names = ("clean", "noisy", "enhanced")
    clean, noisy, enhanced = (soundfile.read(tmp_path / f"previews/epoch-0001/00-0-{name}.wav")[0] for name in names)
    before, after = (10 * np.log10(np.sum(part**2) / np.sum((wave - part) ** 2)) for wave, part in parts(clean, noisy, enhanced))
    logged = {name: float(value) for name, value in run.trainer.callback_metrics.items()}
    assert logged["enhanced/si_sdr"] - logged["enhanced/si_sdr_gain"] == pytest.approx(before, abs=0.02)
    assert logged["enhanced/si_sdr"] == pytest.approx(after, abs=1)  # an untrained network whispers, and the file has 16 bits
    assert (tmp_path / "previews/epoch-0001/00-0.png").stat().st_size > 10_000
