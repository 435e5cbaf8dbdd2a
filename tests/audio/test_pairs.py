"""Pairs of files: every published layout, crops that are functions of (seed, epoch, pair), and what cannot be used is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from polyscore.audio.data.excerpts import Source
from polyscore.audio.data.layouts import LAYOUTS, Pair, find_pairs
from polyscore.audio.data.pairs import PairDataset, SpeechPairs
from polyscore.audio.io import read, resample
from polyscore.errors import InputError

RATE = 16000


def write(path: Path, wave: Any, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.asarray(wave), rate, subtype="FLOAT")


def ramp(count: int, start: float = 0.0) -> np.ndarray[Any, Any]:
    """A wave whose samples tell where they are from."""
    return ((np.arange(count) + start) / 65536).astype(np.float32)


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """Three recordings of 1, 1.5 and 2 s: noisy is the clean one plus a quarter."""
    found = []
    for i in range(3):
        wave = ramp(RATE + i * RATE // 2)
        write(tmp_path / f"clean/{i}.wav", wave)
        write(tmp_path / f"noisy/{i}.wav", wave + 0.25)
        found.append(Pair(str(i), tmp_path / f"clean/{i}.wav", tmp_path / f"noisy/{i}.wav"))
    return found


# layout -> part -> (clean file, noisy file, name)
TREES = {
    "sgmse": {
        "train": [("train/clean/a.wav", "train/noisy/a.wav", "a"), ("train/clean/s/b.wav", "train/noisy/s/b.wav", "s/b")],
        "valid": [("valid/clean/p100/00003.wav", "valid/noisy/p100/00003_-1.9dB.wav", "p100/00003_-1.9dB")],  # EARS-WHAM
        "test": [("test/clean/clean_fileid_7.wav", "test/noisy/book_snr5_tl-20_fileid_7.wav", "book_snr5_tl-20_fileid_7")],  # DNS
    },
    "sgmse-reverb": {
        "train": [("train/anechoic/x_0.31.wav", "train/reverb/x_0.31.wav", "x_0.31")],
        "valid": [("valid/anechoic/y.wav", "valid/reverb/y.wav", "y")],
        "test": [],
    },
    "ears-reverb": {
        "train": [("train/clean/p001/00000.wav", "train/reverberant/p001/00000_0.53.wav", "p001/00000_0.53")],
        "valid": [("valid/clean/p100/00000.wav", "valid/reverberant/p100/00000_1.10.wav", "p100/00000_1.10")],
        "test": [],
    },
    "storm": {
        "train": [("tr/clean/a.wav", "tr/noisy/a.wav", "a")],
        "valid": [("cv/clean/a.wav", "cv/noisy/a.wav", "a")],
        "test": [("tt/clean/a.wav", "tt/noisy/a.wav", "a")],
    },
    "storm-reverb": {
        "train": [("audio/tr/anechoic/a.wav", "audio/tr/reverb/a.wav", "a")],
        "valid": [("audio/cv/anechoic/a.wav", "audio/cv/reverb/a.wav", "a")],
        "test": [],
    },
    "voicebank": {
        "train": [("clean_trainset_28spk_wav/p227_001.wav", "noisy_trainset_28spk_wav/p227_001.wav", "p227_001")],
        "valid": [
            (f"clean_trainset_28spk_wav/{name}.wav", f"noisy_trainset_28spk_wav/{name}.wav", name)
            for name in ("p226_001", "p287_400")
        ],
        "test": [("clean_testset_wav/p232_001.wav", "noisy_testset_wav/p232_001.wav", "p232_001")],
    },
}


@pytest.mark.parametrize("layout", list(TREES))
@pytest.mark.parametrize("named", [False, True])
def test_every_layout_is_recognised(tmp_path: Path, layout: str, named: bool) -> None:
    for part in TREES[layout].values():
        for clean, noisy, _ in part:
            write(tmp_path / clean, ramp(10))
            write(tmp_path / noisy, ramp(10))
    found = find_pairs(tmp_path, layout if named else "auto")
    assert found.layout == layout
    for name, expected in TREES[layout].items():
        wanted = [Pair(key, tmp_path / clean, tmp_path / noisy) for clean, noisy, key in expected]
        assert list(getattr(found, name)) == wanted


def test_two_folders_are_divided_by_a_hash_of_the_name(tmp_path: Path) -> None:
    for i in range(60):
        write(tmp_path / f"clean/clean_fileid_{i}.wav", ramp(5))
        write(tmp_path / f"noisy/n{i % 7}_fileid_{i}.wav", ramp(5))
    before = find_pairs(tmp_path, held_out=0.2)
    assert before.layout == "pairs"
    assert {pair.clean.stem.split("_")[-1] for pair in before.train} == {pair.noisy.stem.split("_")[-1] for pair in before.train}
    assert 4 <= len(before.valid) <= 20
    assert len(before.train) + len(before.valid) == 60
    write(tmp_path / "clean/clean_fileid_99.wav", ramp(5))
    write(tmp_path / "noisy/n_fileid_99.wav", ramp(5))
    assert set(before.valid) <= set(find_pairs(tmp_path, held_out=0.2).valid)  # one file more moves no other


def test_several_noisy_files_share_a_clean_one(tmp_path: Path) -> None:
    for name in ("a_0dB", "a_5dB", "a_b_0dB"):
        write(tmp_path / f"noisy/{name}.wav", ramp(5))
    for name in ("a", "a_b"):
        write(tmp_path / f"clean/{name}.wav", ramp(5))
    found = find_pairs(tmp_path)
    partners = {pair.name: pair.clean.stem for pair in (*found.train, *found.valid)}
    assert partners == {"a_0dB": "a", "a_5dB": "a", "a_b_0dB": "a_b"}  # the longest name that fits


def test_crops_are_functions_of_seed_epoch_and_pair(pairs: list[Pair]) -> None:
    def starts(seed: int, epoch: int) -> list[float]:
        data = PairDataset(pairs, 4000, normalise="not", seed=seed)
        return [float(data[epoch * 3 + i]["clean"][0]) * 65536 for i in range(3)]

    first = starts(0, 0)
    assert first == starts(0, 0)
    assert first != starts(0, 1)
    assert first != starts(1, 0)
    every = np.array([starts(0, epoch) for epoch in range(200)])
    for i, spare in enumerate((12000, 20000, 28000)):  # uniform over all places
        assert every[:, i].min() < 0.03 * spare
        assert every[:, i].max() > 0.97 * spare
        assert every[:, i].mean() == pytest.approx(spare / 2, rel=0.12)
    for item in (PairDataset(pairs, 4000, normalise="not")[i] for i in range(12)):
        assert torch.allclose(item["noisy"] - item["clean"], torch.tensor(0.25))  # both from one place


def test_validation_takes_the_middle(pairs: list[Pair]) -> None:
    data = PairDataset(pairs, 4000, normalise="not", random=False)
    assert [float(data[i]["clean"][0]) * 65536 for i in range(3)] == [6000, 10000, 14000]
    assert torch.equal(data[2]["clean"], data[5]["clean"])  # in every epoch


def test_short_files_get_silence_on_both_sides(pairs: list[Pair]) -> None:
    item = PairDataset(pairs, 16003, normalise="not")[0]
    assert not item["noisy"][:1].any()
    assert not item["noisy"][-2:].any()
    assert torch.equal(item["noisy"][1:-2] * 65536, torch.arange(16000.0) + 16384)


@pytest.mark.parametrize(
    ("normalise", "factor"),
    [("not", 1.0), ("clean", 13999 / 65536), ("noisy", 13999 / 65536 + 0.25), ("noisy_file", 23999 / 65536 + 0.25)],
)
def test_both_waves_are_divided_by_one_number(pairs: list[Pair], normalise: Any, factor: float) -> None:
    data = PairDataset(pairs, 4000, normalise=normalise, random=False)
    bare = PairDataset(pairs, 4000, normalise="not", random=False)[1]
    for name, wave in data[1].items():
        assert torch.allclose(wave * factor, bare[name], atol=1e-7)


def test_silence_stays_silence(tmp_path: Path) -> None:
    for name in ("clean", "noisy"):
        write(tmp_path / f"{name}.wav", np.zeros(5000))
    item = PairDataset([Pair("a", tmp_path / "clean.wav", tmp_path / "noisy.wav")], 4000)[0]
    assert not item["noisy"].any()
    assert not item["clean"].any()


@pytest.mark.parametrize("stored", [48000, 44100, 8000])
def test_a_stretch_is_that_of_the_whole_file_resampled(tmp_path: Path, stored: int) -> None:
    wave = np.random.default_rng(0).standard_normal((2 * stored, 2)).astype(np.float32) * 0.1
    write(tmp_path / "a.wav", wave, stored)
    source = Source(tmp_path / "a.wav", RATE)
    whole = resample(torch.from_numpy(wave[:, :1].T.copy()), stored, RATE)[0]
    assert source.length == len(whole) == 2 * RATE
    for start, count in ((0, 1000), (7777, 4001), (2 * RATE - 3000, 3000), (0, 2 * RATE)):
        found = source.read(start, count)
        assert (found - whole[start : start + count]).abs().max() < 1e-4


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3", "aiff"])
def test_every_format_gives_its_stretches(tmp_path: Path, ending: str) -> None:
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)
    soundfile.write(tmp_path / f"a.{ending}", wave, RATE)
    source = Source(tmp_path / f"a.{ending}", RATE)
    whole = read(tmp_path / f"a.{ending}")[0][0]
    for start in (0, 20000, source.length - 5000):
        found, part = source.read(start, 5000), whole[start : start + 5000]
        assert (found[: len(part)] - part).abs().max() < 0.02
        assert found.abs().max() > 0.25


class Seen(LightningModule):
    """Notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.waves: list[list[float]] = []

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        self.waves.append((batch["clean"][:, 0] * 65536).round().tolist())
        return self.weight * batch["clean"].mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(folder: Path, data: Path, epochs: int, *, resume: str | None = None) -> Seen:
    module = Seen()
    trainer = Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=str(folder), limit_val_batches=0,
    )  # fmt: skip
    pairs = SpeechPairs(str(data), frames=26, hop=160, batch_size=2, normalise="not", seed=4)
    trainer.fit(module, datamodule=pairs, ckpt_path=resume, weights_only=resume is not None or None)
    trainer.save_checkpoint(folder / "last.ckpt")
    return module


def test_a_resumed_run_sees_what_it_would_have_seen(tmp_path: Path) -> None:
    for i in range(8):
        write(tmp_path / f"data/train/clean/{i}.wav", ramp(RATE, 1000 * i))
        write(tmp_path / f"data/train/noisy/{i}.wav", ramp(RATE, 1000 * i))
    whole = fit(tmp_path / "a", tmp_path / "data", 4).waves
    half = fit(tmp_path / "b", tmp_path / "data", 2).waves
    rest = fit(tmp_path / "b", tmp_path / "data", 4, resume=str(tmp_path / "b/last.ckpt")).waves
    assert half + rest == whole
    assert len({tuple(batch) for batch in whole}) == len(whole)  # other places every epoch


def test_workers_give_the_crops_of_one_process(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"train/clean/{i}.wav", ramp(RATE, 1000 * i))
        write(tmp_path / f"train/noisy/{i}.wav", ramp(RATE, 1000 * i))
    here, there = (
        list(SpeechPairs(str(tmp_path), frames=26, batch_size=2, workers=workers).train_dataloader()) for workers in (0, 1)
    )
    assert len(here) == len(there) == 2
    assert all(torch.equal(one["noisy"], other["noisy"]) for one, other in zip(here, there, strict=True))


def test_the_error_of_a_worker_is_its_sentence(tmp_path: Path) -> None:
    write(tmp_path / "train/clean/a.wav", ramp(RATE))
    write(tmp_path / "train/noisy/a.wav", ramp(RATE))
    (tmp_path / "train/noisy/a.wav").write_bytes(b"RIFF, not really")
    for workers in (0, 1):
        batches = SpeechPairs(str(tmp_path), workers=workers).train_dataloader()
        with pytest.raises(InputError) as caught:
            next(iter(batches))
        assert str(caught.value).startswith(str(tmp_path / "train/noisy/a.wav") + ": cannot be read as audio")
        assert "\n" not in str(caught.value)


def test_processes_share_an_epoch_without_overlap() -> None:
    from polyscore.audio.data.pairs import CropOrder

    shares = [list(CropOrder(10, lambda: 3, seed=1, rank=rank, world=2)) for rank in range(2)]
    assert sorted(shares[0] + shares[1]) == list(range(30, 40))
    assert list(CropOrder(10, lambda: 3, seed=2)) != list(CropOrder(10, lambda: 3, seed=1))


def test_module_gives_batches_examples_and_a_limit(tmp_path: Path) -> None:
    for part, count in (("train", 5), ("valid", 3)):
        for i in range(count):
            write(tmp_path / f"{part}/clean/{i}.flac.wav", ramp(3 * RATE), 3 * RATE)  # 48 kHz
            write(tmp_path / f"{part}/noisy/{i}.flac.wav", ramp(3 * RATE), 3 * RATE)
    module = SpeechPairs(str(tmp_path), batch_size=2, frames=101)
    assert [batch["noisy"].shape for batch in module.train_dataloader()] == [(2, 12800)] * 2  # whole batches
    assert [len(batch["noisy"]) for batch in module.val_dataloader()] == [2, 1]
    examples = module.examples(2)
    assert [(name, len(waves["clean"])) for name, waves in examples] == [("0.flac", RATE), ("1.flac", RATE)]
    small = SpeechPairs(str(tmp_path), batch_size=2, frames=101, limit=1)
    assert [len(batch["noisy"]) for batch in small.train_dataloader()] == [1]
    with pytest.raises(InputError, match="no files for test"):
        module.dataset("test")


def test_folders_that_fit_no_layout_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere is no folder"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no folder; expected train/clean and train/noisy"):
        find_pairs(tmp_path)
    (tmp_path / "speech").mkdir()
    (tmp_path / "noise").mkdir()
    with pytest.raises(InputError, match="holds the folders noise, speech; expected .*clean_trainset_28spk_wav and"):
        find_pairs(tmp_path)
    with pytest.raises(InputError, match=r"expected tr/clean and tr/noisy \(storm\)$"):
        find_pairs(tmp_path, "storm")
    with pytest.raises(InputError, match="layout 'wsj'; expected auto or one of sgmse, "):
        find_pairs(tmp_path, "wsj")
    with pytest.raises(InputError, match="held_out is 1"):
        find_pairs(tmp_path, held_out=1.0)
    assert set(TREES) | {"voicebank-56", "pairs"} == set(LAYOUTS)


def test_files_without_partner_are_named(tmp_path: Path) -> None:
    write(tmp_path / "clean/a.wav", ramp(5))
    (tmp_path / "noisy").mkdir()
    with pytest.raises(InputError, match="noisy holds no audio file; expected .aif"):
        find_pairs(tmp_path)
    write(tmp_path / "noisy/b.wav", ramp(5))
    with pytest.raises(InputError, match=r"clean has 1 files, .* without a partner .* are 2: .*noisy/b.wav, .*clean/a.wav$"):
        find_pairs(tmp_path)
    write(tmp_path / "noisy/a.wav", ramp(5))
    (tmp_path / "noisy/b.wav").unlink()
    write(tmp_path / "noisy/a.aiff", ramp(5))
    with pytest.raises(InputError, match="have one name"):
        find_pairs(tmp_path)


def test_folders_that_may_not_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "clean/a.wav", ramp(5))
    write(tmp_path / "noisy/a.wav", ramp(5))
    monkeypatch.setattr(os, "access", lambda path, mode: "noisy" not in str(path))  # root may read everything
    with pytest.raises(InputError, match="noisy: no permission to read it"):
        find_pairs(tmp_path)


def _broken(kind: str, good: bytes) -> tuple[bytes, str]:
    nan = np.full(8000, np.nan, dtype=np.float32)
    return {
        "not audio": (b"RIFF, not really", "cannot be read as audio"),
        "empty": (b"", "cannot be read as audio"),
        "cut off": (good[: len(good) // 2], "damaged|expected one recording"),
        "no number": (good[:-32000] + nan.tobytes(), "no numbers"),
    }[kind]


@pytest.mark.parametrize("kind", ["not audio", "empty", "cut off", "no number"])
def test_files_that_cannot_be_used_are_named(pairs: list[Pair], kind: str) -> None:
    content, words = _broken(kind, pairs[0].noisy.read_bytes())
    pairs[0].noisy.write_bytes(content)
    data = PairDataset(pairs, RATE)
    with pytest.raises(InputError, match=rf"noisy/0\.wav.*({words})"):
        data[0]
    assert torch.isfinite(data[1]["noisy"]).all()


def test_two_recordings_are_no_pair(pairs: list[Pair]) -> None:
    data = PairDataset(pairs, 4000)
    write(pairs[0].noisy, ramp(RATE - 1000))
    assert len(data[0]["noisy"]) == 4000  # a few lost samples are cut from the other
    write(pairs[0].noisy, ramp(RATE // 2))
    with pytest.raises(InputError, match="0.50 s at 16000 Hz, .* has 1.00 s at 16000 Hz; expected one recording"):
        data[0]
    write(pairs[0].noisy, ramp(8000), 8000)
    with pytest.raises(InputError, match="at 8000 Hz"):
        data[0]


def test_stereo_and_mono_make_a_pair(pairs: list[Pair]) -> None:
    write(pairs[0].noisy, np.stack([ramp(RATE), np.ones(RATE)], axis=1))
    item = PairDataset(pairs, 4000, normalise="not")[0]
    assert torch.equal(item["noisy"], item["clean"])  # the first channel


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frames": 1}, "frames is 1; expected at least 2"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"limit": 0}, "limit is 0"),
        ({"hop": 0}, "hop is 0"),
    ],
)
def test_counts_must_be_positive(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SpeechPairs("anywhere", **change)
    with pytest.raises(InputError, match="normalise is 'loud'"):
        PairDataset([Pair("a", Path("a"), Path("b"))], 10, normalise="loud")  # type: ignore[arg-type]
