"""Noisy speech mixed on the fly from folders of clean speech, noise and, optionally, room responses.

Item i is a function of (seed, i) alone: its own generator draws a clean excerpt s and a noise excerpt n, changes both
at random, and returns

    clean = c s,    noisy = c (s + g n),    g = |s| / |n| 10^(-SNR / 20),

with the common factor c such that the peak of `noisy` is a random level of at most 1. However many workers or machines
share the work, the items are the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from polyscore.audio.data import augment
from polyscore.audio.data.speech import Wave, resample
from polyscore.audio.io import Reader
from polyscore.errors import InputError

__all__ = ["Folder", "Mixing", "MixtureDataset"]

FLOOR_COLOUR = 6.0  # dB, standard deviation of the knots of the hiss's spectrum
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
Rng = np.random.Generator


@dataclass(frozen=True)
class Mixing:
    """How excerpts are changed and mixed; shares are probabilities, pairs are ranges of uniform draws.

    snr: dB. level: peak of the noisy excerpt, dB of full scale. speed: factor of tempo and pitch. shelf_gain: dB below
    shelf_corner Hz. band_limit: Hz, the clean speech of a telephone. floor: level in dB, relative to the speech, of the
    coloured hiss that every recording has. Reverberation and this hiss stay in the target: a model that takes away what
    is faint in a recording takes faint speech with it.
    """

    snr: tuple[float, float] = (-5.0, 15.0)
    level: tuple[float, float] = (-14.0, 0.0)
    noise_only_share: float = 0.03
    clean_share: float = 0.03
    second_noise_share: float = 0.3
    equaliser: float = 3.0
    noise_equaliser: float = 5.0
    speed_share: float = 0.5
    speed: tuple[float, float] = (0.85, 1.18)
    shelf_share: float = 0.6
    shelf_gain: tuple[float, float] = (-4.0, 16.0)
    shelf_corner: tuple[float, float] = (120.0, 350.0)
    band_limit_share: float = 0.15
    band_limit: tuple[float, float] = (3300.0, 5500.0)
    room_share: float = 0.15
    floor_share: float = 0.0
    floor: tuple[float, float] = (-45.0, -18.0)


class Folder:
    """The audio files below one folder, of which every 1/`held_out`-th (by a hash of its name) belongs to validation.

    Raises:
        InputError: the folder is missing or has no audio file for the stage.
    """

    def __init__(self, path: str | Path, stage: Literal["train", "validate"], held_out: float) -> None:
        root = Path(path)
        if not root.is_dir():
            raise InputError(
                f"speech mixtures: the folder {root} does not exist; `python -m polyscore.audio.data.prepare` makes one"
            )
        found = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
        modulus = round(1 / held_out) if held_out > 0 else 0
        kept = [p for p in found if (modulus > 0 and zlib.crc32(p.name.encode()) % modulus == 0) == (stage == "validate")]
        self.paths = kept or found
        if not self.paths:
            raise InputError(f"speech mixtures: the folder {root} holds no audio file; expected {', '.join(SUFFIXES)}")

    def excerpt(self, samples: int, rate: int, rng: Rng) -> Wave:
        """`samples` at `rate` Hz out of random files, joined with pauses of up to 0.25 s where one is too short."""
        parts: list[Wave] = []
        missing = samples
        while missing > 0:
            part = self._read(self.paths[int(rng.integers(len(self.paths)))], missing, rate, rng)
            pause = np.zeros(int(rng.uniform(0, 0.25) * rate), dtype=np.float32)
            parts += [part, pause]
            missing -= len(part) + len(pause)
        return np.concatenate(parts)[:samples]

    @staticmethod
    def _read(path: Path, samples: int, rate: int, rng: Rng) -> Wave:
        with Reader(path) as file:
            wanted = int(np.ceil(samples * file.samplerate / rate)) + 1
            if file.frames == 0:
                raise InputError(f"speech mixtures: {path} holds no sample; remove it")
            if file.frames > wanted:
                file.skip(int(rng.integers(file.frames - wanted)))
            block = file.read(wanted, dtype="float32", always_2d=True)
            channel = block[:, int(rng.integers(block.shape[1]))]
            return resample(channel, file.samplerate, rate)[:samples]


class MixtureDataset(IterableDataset[dict[str, Tensor]]):
    """An endless (or `items` long) stream of `{"clean": (L,), "noisy": (L,)}`, float32, L = seconds x rate.

    `clean`, `noise` and `rooms` map folders to their relative weights. `first` is the number of the first item.

    Raises:
        InputError: a folder is missing or empty, no folder is given, or a length is not positive.
    """

    def __init__(
        self,
        clean: Mapping[str, float],
        noise: Mapping[str, float],
        rooms: Sequence[str] = (),
        *,
        seconds: float = 2.0,
        rate: int = 16000,
        mixing: Mixing = Mixing(),
        stage: Literal["train", "validate"] = "train",
        held_out: float = 0.02,
        items: int | None = None,
        seed: int = 0,
    ) -> None:
        if not clean or not noise:
            raise InputError("speech mixtures: give at least one clean and one noise folder, each with a weight")
        if seconds <= 0 or rate <= 0:
            raise InputError(f"speech mixtures: seconds {seconds} and rate {rate} must be positive")
        self.clean = _Weighted(clean, stage, held_out)
        self.noise = _Weighted(noise, stage, held_out)
        self.rooms = [Folder(path, stage, held_out) for path in rooms]
        self.samples, self.rate = round(seconds * rate), rate
        self.mixing, self.items, self.seed = mixing, items, seed
        self.first, self.rank, self.world = 0, 0, 1

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = get_worker_info()
        inner, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        i = self.first + self.rank * workers + inner
        while self.items is None or i < self.first + self.items:
            yield self.item(i)
            i += self.world * workers

    def item(self, index: int) -> dict[str, Tensor]:
        """Item `index`, whatever was drawn before."""
        rng = np.random.default_rng([self.seed, index])
        m = self.mixing
        kind = rng.random()
        clean, noise = self._speech(rng), self._noise(rng)
        if kind < m.noise_only_share:
            clean = np.zeros_like(clean)
        elif kind < m.noise_only_share + m.clean_share:
            noise = np.zeros_like(noise)
        else:
            size = np.sqrt(float((clean**2).mean())) / (np.sqrt(float((noise**2).mean())) + 1e-9)
            noise = noise * np.float32(size * 10 ** (-rng.uniform(*m.snr) / 20))
        noisy = clean + noise
        factor = np.float32(10 ** (rng.uniform(*m.level) / 20) / (np.abs(noisy).max() + 1e-9))
        return {"clean": torch.from_numpy(clean * factor), "noisy": torch.from_numpy(noisy * factor)}

    def _speech(self, rng: Rng) -> Wave:
        m = self.mixing
        folder = self.clean.draw(rng)
        speed = float(rng.uniform(*m.speed)) if rng.random() < m.speed_share else 1.0
        wave = folder.excerpt(int(self.samples * speed) + 1, self.rate, rng)
        for _ in range(3):  # an excerpt that fell into a pause teaches little
            if float((wave**2).mean()) > 1e-5:
                break
            wave = folder.excerpt(int(self.samples * speed) + 1, self.rate, rng)
        if speed != 1.0:
            wave = augment.change_speed(wave, speed, self.rate)
        wave = np.pad(wave, (0, max(self.samples - len(wave), 0)))[: self.samples]
        f = augment.frequencies(len(wave), self.rate)
        if rng.random() < m.floor_share:
            hiss = augment.apply_gain(
                rng.standard_normal(len(wave), dtype=np.float32), augment.random_equaliser(f, rng, FLOOR_COLOUR)
            )
            level = np.sqrt((wave**2).mean() / (hiss**2).mean())
            wave = wave + np.float32(level * 10 ** (rng.uniform(*m.floor) / 20)) * hiss
        gain = augment.random_equaliser(f, rng, m.equaliser)
        if rng.random() < m.shelf_share:
            gain += augment.low_shelf(f, rng.uniform(*m.shelf_corner), rng.uniform(*m.shelf_gain))
        if rng.random() < m.band_limit_share:
            gain += augment.band_limit(f, rng.uniform(*m.band_limit))
        wave = augment.apply_gain(wave, gain)
        if self.rooms and rng.random() < m.room_share:
            room = self.rooms[int(rng.integers(len(self.rooms)))]
            response, rate = soundfile.read(room.paths[int(rng.integers(len(room.paths)))], dtype="float32", always_2d=True)
            wave = augment.reverberate(wave, resample(response[:, 0], rate, self.rate))
        return wave

    def _noise(self, rng: Rng) -> Wave:
        total = np.zeros(self.samples, dtype=np.float32)
        for gain in [1.0] + [float(rng.uniform(0.2, 1.0))] * (rng.random() < self.mixing.second_noise_share):
            wave = self.noise.draw(rng).excerpt(self.samples, self.rate, rng)
            f = augment.frequencies(len(wave), self.rate)
            wave = augment.apply_gain(wave, augment.random_equaliser(f, rng, self.mixing.noise_equaliser))
            total += np.float32(gain) * wave / np.float32(wave.std() + 1e-6)
        return total


class _Weighted:
    """Folders drawn with probabilities in proportion to their weights."""

    def __init__(self, weights: Mapping[str, float], stage: Literal["train", "validate"], held_out: float) -> None:
        if min(weights.values()) <= 0:
            raise InputError(f"speech mixtures: folder weights must be positive, got {dict(weights)}")
        self.folders = [Folder(path, stage, held_out) for path in weights]
        self.shares = np.array(list(weights.values())) / sum(weights.values())

    def draw(self, rng: Rng) -> Folder:
        return self.folders[int(rng.choice(len(self.folders), p=self.shares))]
