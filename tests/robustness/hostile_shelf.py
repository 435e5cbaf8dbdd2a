"""Sound things that hostile cases lean on: small files of every kind, and a tiny speech model."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.apps.fit_runs import config
from tests.robustness.hostile_files import npy, npz

__all__ = ["MAKERS", "clip", "mesh", "midi", "picture", "recording", "wav"]


def wav(path: Path, count: int = 1600) -> None:
    """A tenth of a second of noise."""
    import soundfile

    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(count), 16000)


def enhancer(path: Path) -> None:
    """A diffusion enhancer, tiny and untrained."""
    from polyscore import hub
    from polyscore.audio import SpeechEnhancer
    from polyscore.audio.codec import SpectrogramCodec
    from polyscore.audio.denoiser import SpectrogramDenoiser
    from polyscore.audio.networks.ncsnpp import NCSNpp
    from polyscore.processes import OUVE

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NCSNpp(nf=4, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(), init_scale=0.1)
    denoiser = SpectrogramDenoiser(network, OUVE(), predicts="score")
    hub.save(path, SpeechEnhancer(denoiser, codec=SpectrogramCodec(n_fft=62, hop=16), frame_multiple=4))


def midi(path: Path, tracks: int = 2, bars: int = 2) -> None:
    """Quarter notes, a bar of four a pitch."""
    from polyscore.music.midi import write_midi
    from polyscore.music.score import Score, Track

    notes = [[(480 * i, 480, 60 + 4 * k % 24, 80) for i in range(4 * bars)] for k in range(tracks)]
    write_midi(Score(tuple(Track.of(rows) for rows in notes), 480), path)


def mesh(path: Path) -> None:
    """A tetrahedron, in any format of trimesh."""
    import trimesh

    trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]).export(path)


def picture(path: Path) -> None:
    """64 x 48 pixels of noise."""
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def clip(path: Path, frames: int = 4) -> None:
    """Some frames of noise."""
    from polyscore.films import write_film

    write_film(path, list(np.random.default_rng(0).integers(0, 255, (frames, 64, 64, 3), dtype=np.uint8)))


def recording(path: Path, **changes: Any) -> None:
    """Demonstrations of two episodes."""
    arrays = {"observations": np.zeros((8, 16), np.float32), "actions": np.zeros((8, 2), np.float32), "offsets": [0, 4, 8]}
    path.write_bytes(npz(**{**arrays, "about": np.array("{}"), **changes}))


def speech(path: Path) -> None:
    path.mkdir()
    wav(path / "good.wav")


def clouds() -> bytes:
    return npy(np.random.default_rng(0).standard_normal((6, 40, 3)))


def bytes_of(write: Callable[[Any], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


MAKERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "wav": ("good.wav", wav),
    "enhancer": ("tiny", enhancer),
    "speech": ("speech", speech),
    "midi": ("good.mid", midi),
    "ply": ("good.ply", mesh),
    "clouds": ("good.npy", lambda path: path.write_bytes(clouds())),
    "smi": ("good.smi", lambda path: path.write_text("CCO\nCCN\nCCC\n")),
    "edges": ("good.edges", lambda path: path.write_text("0 1\n1 2\n2 0\n2 3\n")),
    "png": ("good.png", picture),
    "clip": ("good.mp4", clip),
    "demos": ("good.npz", recording),
    "config": ("tiny.yaml", lambda path: config(path.parent)),
    "samples": ("good.npy", lambda path: path.write_bytes(npy(np.random.default_rng(0).standard_normal((12, 3))))),
}
