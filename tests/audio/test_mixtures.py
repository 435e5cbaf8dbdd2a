"""Mixtures are functions of (seed, item): levels, ratios, sharing between workers, augmentations in closed form."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from polyscore.audio.data import augment
from polyscore.audio.data.mixture import Mixing, MixtureDataset
from polyscore.audio.data.module import SpeechMixtures
from polyscore.errors import InputError

PLAIN = Mixing(noise_only_share=0, clean_share=0, second_noise_share=0, equaliser=0, noise_equaliser=0, speed_share=0)
STILL = {"shelf_share": 0.0, "band_limit_share": 0.0, "room_share": 0.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Tones as speech (several rates and channel counts), white noise, one room."""
    root = tmp_path_factory.mktemp("audio")
    rng = np.random.default_rng(0)
    for name in ("clean", "noise", "rooms"):
        (root / name / "deep").mkdir(parents=True)
    for i, rate in enumerate((8000, 16000, 44100, 16000)):
        time = np.arange(int(rate * (0.3 + i))) / rate
        tone = 0.3 * np.sin(2 * np.pi * 300 * (i + 1) * time)
        soundfile.write(
            root / "clean" / "deep" / f"tone{i}.{'flac' if i % 2 else 'wav'}", np.stack([tone] * (1 + i % 2), axis=1), rate
        )
        soundfile.write(root / "noise" / f"white{i}.wav", 0.1 * rng.standard_normal(16000), 16000)
    soundfile.write(root / "rooms" / "room.wav", np.array([1.0, 0.0, 0.0, 0.5]), 16000)
    return {name: str(root / name) for name in ("clean", "noise", "rooms")}


def _data(folders: dict[str, str], **options: Any) -> MixtureDataset:
    rooms = [folders["rooms"]]
    return MixtureDataset({folders["clean"]: 1.0}, {folders["noise"]: 2.0}, rooms, **{"seconds": 0.5, "items": 12, **options})


def test_items_depend_on_seed_and_number_alone(folders: dict[str, str]) -> None:
    data = _data(folders, seed=5)
    stream = list(data)
    assert len(stream) == 12
    for i in (7, 0):
        assert torch.equal(data.item(i)["noisy"], stream[i]["noisy"])
    assert not torch.equal(stream[0]["noisy"], stream[1]["noisy"])
    assert not torch.equal(_data(folders, seed=6).item(0)["noisy"], stream[0]["noisy"])


def test_ranks_and_workers_share_the_same_items(folders: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {float(item["noisy"].sum()) for item in _data(folders)}
    found: list[float] = []
    for rank in range(2):
        for worker in range(2):
            info = SimpleNamespace(id=worker, num_workers=2)
            monkeypatch.setattr("polyscore.audio.data.mixture.get_worker_info", lambda info=info: info)
            data = _data(folders)
            data.rank, data.world = rank, 2
            found += [float(item["noisy"].sum()) for item in data]
    assert len(found) == 12
    assert set(found) == whole


def test_workers_are_spawned_and_give_the_items_of_one_process(folders: dict[str, str]) -> None:
    """Forked workers would inherit locks that this process's threads hold, and could wait for them for ever."""
    options: dict[str, Any] = {"seconds": 0.25, "validation_items": 4, "batch_size": 2, "held_out": 0.5}
    alone = SpeechMixtures({folders["clean"]: 1.0}, {folders["noise"]: 1.0}, **options).val_dataloader()
    loader = SpeechMixtures({folders["clean"]: 1.0}, {folders["noise"]: 1.0}, workers=1, **options).val_dataloader()
    assert loader.multiprocessing_context.get_start_method() == "spawn"
    assert loader.timeout > 0
    for here, there in zip(alone, loader, strict=True):
        assert torch.equal(here["noisy"], there["noisy"])


@pytest.mark.parametrize("snr", [-5.0, 0.0, 12.0])
def test_ratio_and_level_are_exact(folders: dict[str, str], snr: float) -> None:
    mixing = Mixing(**{**vars(PLAIN), **STILL, "snr": (snr, snr), "level": (-6.0, -6.0)})
    for item in _data(folders, mixing=mixing):
        noise = item["noisy"] - item["clean"]
        assert 10 * torch.log10(item["clean"].square().sum() / noise.square().sum()).item() == pytest.approx(snr, abs=1e-3)
        assert item["noisy"].abs().max().item() == pytest.approx(10 ** (-6 / 20), rel=1e-5)


def test_the_floor_of_a_recording_stays_in_its_target(folders: dict[str, str]) -> None:
    tone = Mixing(**{**vars(PLAIN), **STILL, "snr": (60.0, 60.0)})
    hissing = Mixing(**{**vars(tone), "floor_share": 1.0, "floor": (-30.0, -30.0)})
    for bare, item in zip(_data(folders, mixing=tone, items=6), _data(folders, mixing=hissing, items=6), strict=True):
        before, after = (x["clean"] / x["clean"].norm() for x in (bare, item))
        part = (after - torch.dot(after, before) * before).norm() / torch.dot(after, before)  # what is not the tone
        assert 20 * torch.log10(part).item() == pytest.approx(-30.0, abs=1.0)


def test_noise_only_and_clean_items(folders: dict[str, str]) -> None:
    noise = _data(folders, mixing=Mixing(noise_only_share=1.0, clean_share=0.0)).item(0)
    assert not noise["clean"].any()
    assert noise["noisy"].any()
    clean = _data(folders, mixing=Mixing(noise_only_share=0.0, clean_share=1.0)).item(0)
    assert torch.equal(clean["clean"], clean["noisy"])


def test_validation_files_are_held_out(folders: dict[str, str]) -> None:
    kept = {stage: set(_data(folders, stage=stage, held_out=0.5).clean.folders[0].paths) for stage in ("train", "validate")}
    assert kept["train"]
    assert kept["validate"]
    assert not kept["train"] & kept["validate"]


def test_filters_have_their_stated_gain() -> None:
    f = np.array([0.0, 200.0, 20000.0], dtype=np.float32)
    assert augment.low_shelf(f, 200.0, 12.0) == pytest.approx([12.0, 6.0, 0.0], abs=1e-3)
    assert augment.band_limit(np.array([1000.0, 4000.0, 4200.0, 8000.0], dtype=np.float32), 4000.0) == pytest.approx(
        [0, 0, -60, -60], abs=1e-3
    )
    wave = np.sin(2 * np.pi * 500 * np.arange(1600) / 16000).astype(np.float32)
    gain = np.full(801, -20.0, dtype=np.float32)
    assert augment.apply_gain(wave, gain) == pytest.approx(0.1 * wave, abs=1e-6)


def test_speed_scales_the_frequency() -> None:
    wave = np.sin(2 * np.pi * 500 * np.arange(16000) / 16000).astype(np.float32)
    fast = augment.change_speed(wave, 1.25, 16000)
    assert len(fast) == pytest.approx(12800, abs=2)
    assert np.abs(np.fft.rfft(fast)).argmax() * 16000 / len(fast) == pytest.approx(625, abs=2)


def test_reverberation_is_a_convolution() -> None:
    rng = np.random.default_rng(1)
    wave, response = rng.standard_normal(500).astype(np.float32), rng.standard_normal(60).astype(np.float32)
    assert augment.reverberate(wave, response) == pytest.approx(np.convolve(wave, response)[:500], abs=1e-4)


def test_module_serves_new_items_each_epoch_and_the_same_validation(folders: dict[str, str]) -> None:
    module = SpeechMixtures(
        {folders["clean"]: 1.0},
        {folders["noise"]: 1.0},
        seconds=0.25,
        batch_size=3,
        items_per_epoch=6,
        validation_items=4,
        held_out=0.5,
    )
    batches = list(module.train_dataloader())
    assert [b["clean"].shape for b in batches] == [(3, 4000), (3, 4000)]
    first, second = (next(iter(module.val_dataloader()))["noisy"] for _ in range(2))
    assert torch.equal(first, second)


def test_errors_name_the_folder(tmp_path: Path, folders: dict[str, str]) -> None:
    with pytest.raises(InputError, match="missing does not exist"):
        MixtureDataset({str(tmp_path / "missing"): 1.0}, {folders["noise"]: 1.0})
    with pytest.raises(InputError, match="holds no audio file"):
        MixtureDataset({str(tmp_path): 1.0}, {folders["noise"]: 1.0})
    with pytest.raises(InputError, match="weights must be positive"):
        MixtureDataset({folders["clean"]: 0.0}, {folders["noise"]: 1.0})
    with pytest.raises(InputError, match="at least one clean"):
        MixtureDataset({}, {folders["noise"]: 1.0})
    with pytest.raises(InputError, match="batch_size is 0"):
        SpeechMixtures({folders["clean"]: 1.0}, {folders["noise"]: 1.0}, batch_size=0)
