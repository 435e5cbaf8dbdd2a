"""Training on songs: the vocabulary is theirs, parts are dealt as said, the loss is the chain's bound, a run exports a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from polyscore.errors import ConfigError, InputError
from polyscore.hub import load
from polyscore.music.data.songs import Song, SongData, Songs, SongWindows, load_songs, save_songs
from polyscore.music.getscore import GetVocabulary, compounds
from polyscore.music.midi import write_midi
from polyscore.music.networks.roformer import CellLogits
from polyscore.music.octuple import octuples
from polyscore.music.score import Score, Track
from polyscore.music.song_model import SongModel
from polyscore.music.song_training import Changed, Dealing, SongTraining
from polyscore.processes.discrete import MaskAndReplace
from polyscore.state import NONE
from polyscore.training import Uniform
from polyscore.training.discrete import DiffusionELBO
from polyscore.training.engine import assemble

SMALL = {"embedding": 8, "width": 32, "layers": 1, "heads": 2, "hidden": 32, "dropout": 0}


def piece(number: int) -> Score:
    """Four bars of C major: a tune, thirds on a piano, a bass in songs of even number."""
    rng = np.random.default_rng(number)
    tune = Track.of([(480 * i, 480, int(p), 90) for i, p in enumerate(rng.choice([72, 74, 76, 77, 79], 16))], name="Vocals")
    keys = Track.of([(960 * i, 960, p, 70) for i in range(8) for p in (60, 64)], name="Piano", channel=1)
    bass = Track.of([(960 * i, 900, 36, 99) for i in range(8)], name="Bass", program=33, channel=2)
    return Score((tune, keys, bass)[: 3 - number % 2])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("songs")
    for number in range(8):
        write_midi(piece(number), place / f"{number}.mid")
    (place / "broken.mid").write_bytes(b"MThd no")
    return place


@pytest.fixture(scope="module")
def songs(root: Path) -> Songs:
    made = Songs(str(root), workers=0)
    with pytest.warns(UserWarning, match="1 of 9 files are left out"):
        split = made.split
    assert len(split[0]) + len(split[1]) == 8
    return made


def test_compounds_are_counted_by_part() -> None:
    found = compounds([octuples(piece(0), programs=[80, 0, 32])])
    assert {name: dict(count) for name, count in found.items() if count} == {"piano": {"60 64": 8}}


def test_a_folder_is_read_once_and_its_grids_speak_its_vocabulary(songs: Songs, root: Path) -> None:
    assert songs.vocabulary == GetVocabulary(piano=("60 64",)) or songs.vocabulary.piano == ()
    grids = songs.grids()
    empty = songs.vocabulary.empty
    assert [bool((grid[2:4] == empty).all()) for grid in grids] == [int(song.name) % 2 == 1 for song in songs.split[0]]
    for grid in grids:
        assert bool((grid[4:8] == empty).all()) and bool((grid[:2] != empty).all())
        assert grid.shape == (14, 64)
    again = Songs(str(root), workers=0)
    (root / ".polyscore-songs.npz").stat()
    assert all(np.array_equal(a, b) for a, b in zip(again.grids(), grids, strict=True))


def test_the_cache_knows_what_it_was_made_of(tmp_path: Path) -> None:
    kept = [Song("a", octuples(piece(0), programs=[80, 0, 32]))]
    save_songs(tmp_path / "c.npz", kept, key="x")
    (back,) = load_songs(tmp_path / "c.npz", key="x")
    assert back.name == "a" and np.array_equal(back.octuples.rows, kept[0].octuples.rows)
    assert np.array_equal(back.octuples.bars, kept[0].octuples.bars)
    with pytest.raises(InputError, match="made of other files"):
        load_songs(tmp_path / "c.npz", key="y")


def test_windows_cover_a_song_and_end_empty() -> None:
    grids = [np.arange(14 * 40).reshape(14, 40), np.zeros((14, 10), dtype=np.int64)]
    data = SongWindows(grids, 32, every=16, empty=-7)
    assert data.index == [(0, 0), (0, 8), (1, 0)]
    batch = data.__getitems__([1, 2])["x0"]
    assert torch.equal(batch[0], torch.from_numpy(grids[0][:, 8:]))
    assert bool((batch[1, :, 10:] == -7).all()) and bool((batch[1, :, :10] == 0).all())


def test_parts_are_dealt_into_targets_and_sources() -> None:
    x0, empty = torch.zeros(4000, 14, 2, dtype=torch.long), 9
    x0[:, 6:10] = empty  # four parts: lead, bass, drums, strings, and chords
    draws = torch.rand(4000, 9, generator=torch.Generator().manual_seed(0))
    target, gone = Dealing(alone=0.25, no_chords=0.5, write_chords=0.25)(x0, empty, draws)
    parts, left = target[:, ::2, 0], gone[:, ::2, 0]
    assert torch.equal(target[:, ::2], target[:, 1::2]) and not bool((target & gone).any())
    assert not bool(target[:, 6:10].any())
    count = parts[:, :6].sum(1)
    alone = left[:, :6].sum(1) == 3
    assert bool((count[alone] == 1).all()) and float(alone.float().mean()) == pytest.approx(0.25, abs=0.03)
    assert bool((left[~alone][:, :6].sum(1) == 0).all())
    shares = torch.bincount(count[~alone], minlength=5)[1:] / int((~alone).sum())
    assert float((shares - 0.25).abs().max()) < 0.03
    assert float(parts[:, 6].float().mean()) == pytest.approx(0.25, abs=0.03)
    assert float(left[:, 6].float().mean()) == pytest.approx(0.5, abs=0.03)
    with pytest.raises(InputError, match="shares"):
        Dealing(no_chords=0.7, write_chords=0.4)


def test_rows_on_request_cost_what_all_rows_cost() -> None:
    """The loss of the changed cells is that of the dense objective; of the others a model that copies has nothing to learn."""
    generator = torch.Generator().manual_seed(0)
    process = MaskAndReplace(12)
    cells = torch.randn(3, 2, 20, 5, generator=generator, requires_grad=True)
    weight = torch.randn(12, 5, generator=generator)
    x0 = torch.randint(0, 12, (3, 2, 20), generator=generator)
    dense = DiffusionELBO(100, 0.001)
    x, t = dense.noised(process, x0, torch.tensor([0.02, 0.4, 0.97], dtype=torch.float64), NONE, 0)
    every = dense.entries(process, x0, x, cells @ weight.T, t)
    some = Changed(dense, at_once=7).entries(process, x0, x, _Rows(cells, weight), t)
    changed = x != x0
    assert int(changed.sum()) > 20
    torch.testing.assert_close(some[changed], every[changed], rtol=1e-5, atol=1e-6)
    assert not bool(some[~changed].any())
    copying = (cells @ weight.T).detach() + 40 * torch.nn.functional.one_hot(x, 13)[..., :12]
    rest = dense.entries(process, x0, x, copying, t)
    assert float(rest[~changed].sum()) < 1e-4 * float(every.detach().sum())
    (one,) = torch.autograd.grad(some.sum(), cells, retain_graph=True)
    (other,) = torch.autograd.grad((every * changed).sum(), cells)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


class _Rows:
    """Logits on request, with a finite row for every category."""

    def __init__(self, cells: torch.Tensor, weight: torch.Tensor) -> None:
        self.cells, self.weight = cells, weight

    def rows(self, places: torch.Tensor) -> torch.Tensor:
        return self.cells.flatten(0, -2)[places] @ self.weight.T


def test_it_learns_a_song_by_heart(songs: Songs) -> None:
    """Forty steps on four windows: the cost of a target cell falls to a fraction."""
    torch.manual_seed(0)
    module = SongTraining(songs, SMALL, 64, dealing=Dealing(no_chords=0.0, write_chords=0.0))
    assert isinstance(module.model, SongModel)
    grid = torch.from_numpy(songs.grids()[0])
    batch = {"x0": grid.expand(4, -1, -1)}
    optimiser = torch.optim.Adam(module.parameters(), 0.01)

    def cost() -> float:
        with torch.no_grad():
            return float(torch.stack([module.losses(batch, Uniform(), "test", i)[0].mean() for i in range(4)]).mean())

    before = cost()
    for step in range(40):
        optimiser.zero_grad()
        module.losses(batch, module.times, "train", 0, step)[0].mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert cost() < 0.25 * before


def test_the_network_gives_rows_on_request(songs: Songs) -> None:
    module = SongTraining(songs, SMALL, 64)
    x = torch.full((1, 14, 16), songs.vocabulary.mask)
    assert isinstance(module.denoiser(x, 0.5).x0, CellLogits)


def test_the_shipped_configuration_trains_resumes_and_exports(root: Path, songs: Songs, tmp_path: Path) -> None:
    words = [f"--model.init_args.songs.init_args.root={root}", "--model.init_args.songs.init_args.workers=0"]
    words += [f"--model.init_args.network={SMALL}", "--model.init_args.window=64", "--data.init_args.length=64"]
    words += ["--data.init_args.batch_size=2", "--data.init_args.per_epoch=4", "--trainer.accelerator=cpu"]
    for epochs in (1, 2):
        more = [*words, f"--trainer.max_epochs={epochs}"]
        run = assemble(["configs/music/getmusic.yaml"], folder=tmp_path / "run", overrides=more)
        with run.claim():
            assert run.fit(resume=run.last())
        assert run.trainer.global_step == 2 * epochs
    model = load(tmp_path / "run" / "model")
    assert isinstance(model, SongModel) and model.vocabulary == songs.vocabulary and model.window == 64
    grid = torch.full((14, 64), model.vocabulary.mask)
    *_, made = model.complete(grid, torch.zeros_like(grid), seeds=(0,))
    assert not bool((made == model.vocabulary.mask).any())


def test_songs_come_with_their_training(root: Path) -> None:
    data = SongData(2, 64, per_epoch=4)
    with pytest.raises(ConfigError, match="SongTraining"):
        data.train_dataloader()
    for wrong in ({"length": 40}, {"batch_size": 8, "per_epoch": 4}):
        with pytest.raises(InputError, match="SongData"):
            SongData(**wrong)
    with pytest.raises(InputError, match="held_out"):
        Songs(str(root), held_out=1)
