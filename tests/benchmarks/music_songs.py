"""CPU time of music before and around the network: `python tests/benchmarks/music_songs.py [prepare|chords|step]`, one thread.

`prepare` reads a MIDI file of 3,000 notes and 71 bars and makes its GETScore grid; `chords` compares the structured Viterbi with
the dense one of the tests; `step` takes the first four of 100 steps of GETMusic's network, random weights of the published size,
on 512 columns, and prints the largest memory of the process. Medians of several runs.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from polyscore.music.chords import ChordModel
from polyscore.music.getscore import GetVocabulary, encode
from polyscore.music.midi import read_notes, write_midi
from polyscore.music.octuple import octuples
from polyscore.music.score import Meter, Score, Tempo, Track


def seconds(work: Callable[[], Any], runs: int = 7) -> float:
    """The median CPU time of some runs after a first one."""
    work()
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return float(np.median(times))


def song() -> Score:
    """Six tracks, 3,000 notes, 71 bars."""
    rng = np.random.default_rng(0)

    def track(onsets: int, low: int, high: int, size: int, **kept: Any) -> Track:
        starts = np.sort(rng.integers(0, 70 * 16, onsets)) * 120
        chords = [rng.choice(np.arange(low, high), size, replace=False) for _ in starts]
        lengths = rng.integers(1, 8, (onsets, size)) * 120
        rows = [(s, n, p, 90) for s, c, m in zip(starts, chords, lengths, strict=True) for p, n in zip(c, m, strict=True)]
        return Track.of(rows, **kept)

    tracks = (
        track(400, 60, 84, 1, program=80),
        track(400, 30, 50, 1, program=32),
        track(500, 35, 50, 2, is_drum=True),
        track(300, 50, 70, 2, program=25),
        track(150, 50, 70, 3, program=0),
        track(50, 50, 70, 3, program=48),
    )
    return Score(tracks, 480, (Tempo(0, 500_000),), (Meter(0, 4, 4),))


def prepare() -> None:
    pairs = tuple(f"{a} {b}" for a in range(50, 70) for b in range(a + 1, 70))
    drums = tuple(f"{a} {b}" for a in range(163, 178) for b in range(a + 1, 178))
    vocabulary = GetVocabulary(piano=pairs, guitar=pairs, strings=pairs, drums=drums)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "song.mid"
        write_midi(song(), path)
        score = read_notes(path)
        made = octuples(score)
        parts = {
            "read": seconds(lambda: read_notes(path)),
            "key, chords, octuples": seconds(lambda: octuples(score)),
            "grid": seconds(lambda: encode(made, vocabulary)),
        }
        whole = seconds(lambda: encode(octuples(read_notes(path)), vocabulary))
    print(f"{score.note_count} notes, {len(score.bars())} bars: {1e3 * whole:.1f} ms of CPU")
    print("  " + ", ".join(f"{name} {1e3 * value:.1f}" for name, value in parts.items()))


def chords() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "music"))
    import test_chords as dense  # type: ignore[import-not-found]

    model, rng = ChordModel(), np.random.default_rng(0)
    profiles = rng.random((70, 12)) ** 4
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    table = dense._dense_table(model)
    dense._dense_table = lambda _: table
    keys, found = model.path(profiles)
    assert (keys * 97 + found).tolist() == dense._dense_path(model, profiles)
    fast, slow = seconds(lambda: model.path(profiles)), seconds(lambda: dense._dense_path(model, profiles), 3)
    print(f"70 bars, the same path: structured {1e3 * fast:.2f} ms, dense {1e3 * slow:.0f} ms, {slow / fast:.0f} times")


def step() -> None:
    import torch

    from polyscore.denoisers.tokens import TokenDenoiser
    from polyscore.guidance.tokens import Vocabulary
    from polyscore.music.networks.roformer import GetRoformer
    from polyscore.music.song_model import SongModel
    from polyscore.samplers import trajectory
    from polyscore.samplers.discrete import Unmasking
    from polyscore.state import Given

    torch.set_num_threads(1)
    sizes = {"bass": 725, "drums": 4241, "guitar": 1427, "piano": 3440, "strings": 1242}
    vocabulary = GetVocabulary(**{name: tuple(f"0 {i}" for i in range(n)) for name, n in sizes.items()})
    with torch.no_grad():
        model = SongModel(GetRoformer(), vocabulary).eval()
        grid = torch.full((1, 14, 512), vocabulary.mask)
        grid[:, 12], grid[:, 13] = vocabulary.root, vocabulary.root + 12
        hidden = grid == vocabulary.mask
        given = Given(cond={"source": (~hidden).long()}, mask=hidden)
        denoiser = Vocabulary(TokenDenoiser(model.network, model.process, time="index"), model._allowed())
        network = seconds(lambda: model.network(grid), 3)
        marks = [time.process_time()]
        frames = trajectory(Unmasking(), denoiser, model.process, grid, steps=100, given=given)
        marks += [time.process_time() for _ in islice(frames, 4)]
    steps = [round(b - a, 2) for a, b in pairwise(marks)]
    size = sum(p.numel() for p in model.parameters())
    print(f"{size} parameters, 512 columns: network {network:.2f} s of CPU, steps {steps}")
    print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    for name in sys.argv[1:] or ("prepare", "chords", "step"):
        {"prepare": prepare, "chords": chords, "step": step}[name]()
