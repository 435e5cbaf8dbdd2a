"""Data: chorales and folders on the raster, windows once each, splits by piece, caches that know what they were made of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.music.composers import chorales, midi_folder, song

from polyscore.errors import InputError
from polyscore.music.data.chorale_data import ChoraleData, chorale_split, likeness
from polyscore.music.data.chorales import chorale_grid, load_chorales, read_chorales, save_chorales
from polyscore.music.data.folder import FolderOfMusic, load_pieces
from polyscore.music.data.sources import find_midi, jsb_grids, pop909_files, read_folder, voices_of
from polyscore.music.data.windows import Passes, Windows, voice_ranges
from polyscore.music.grid import HOLD, REST
from polyscore.music.midi import write_midi


def test_a_chorale_on_the_raster_has_all_its_rows() -> None:
    piece = chorales(1)[0]
    grid = chorale_grid(piece)
    assert grid.tokens.shape == (4, 84) and grid.tokens[0, :4].tolist() == [int(piece.notes[0, 3]), HOLD, HOLD, HOLD]
    assert grid.rows["position"][:6].tolist() == [13, 14, 15, 16, 1, 2] and set(grid.rows["bar"].tolist()) == {16}
    assert grid.rows["fermata"][-5:].tolist() == [1, 2, 2, 2, 2]
    assert set(grid.rows["key"].tolist()) == {7 * piece.sharps % 12 + 1} and set(grid.rows["mode"].tolist()) == {1}


def test_the_cache_gives_the_pieces_back(tmp_path: Path) -> None:
    pieces = chorales(3)
    save_chorales(tmp_path / "c.npz", pieces)
    for a, b in zip(load_chorales(tmp_path / "c.npz"), pieces, strict=True):
        assert (a.name, a.sharps, a.minor, a.meter) == (b.name, b.sharps, b.minor, 1920)
        assert all(np.array_equal(getattr(a, part), getattr(b, part)) for part in ("notes", "bars", "fermatas"))
    np.savez(tmp_path / "other.npz", head=np.array("{}"))
    with pytest.raises(InputError, match="no cache"):
        load_chorales(tmp_path / "other.npz")


def test_music21_gives_voices_ties_fermatas_and_the_pickup() -> None:
    """BWV 269, the first chorale of Riemenschneider's edition: G major, 3/4, an upbeat of one beat."""
    corpus = pytest.importorskip("music21.corpus")
    path = next(p for p in corpus.getComposer("bach") if p.name.startswith("bwv269"))
    (piece,) = read_chorales([path])
    assert (piece.sharps, piece.minor, piece.meter) == (1, False, 1440)
    assert piece.bars[0].tolist() == [0, 1440, 960] and piece.bars[1].tolist() == [480, 1440, 0]
    first = [piece.notes[piece.notes[:, 0] == voice][0, 3].item() for voice in range(4)]
    assert first == [67, 62, 59, 43] and len(piece.fermatas) >= 4
    bass = piece.notes[piece.notes[:, 0] == 3]
    assert (bass[1:, 1] >= bass[:-1, 1] + bass[:-1, 2]).all()


def test_copies_of_held_out_pieces_are_not_trained_on(tmp_path: Path) -> None:
    pieces = chorales(12)
    for piece in pieces[:6]:
        notes = piece.notes + np.array([0, 0, 0, 2])  # the same piece in another key
        pieces.append(type(piece)(f"{piece.name}-again", notes, piece.bars, piece.fermatas, piece.sharps + 2, piece.minor))
    grids = [chorale_grid(piece) for piece in pieces]
    assert likeness(grids[0], grids[12]) == 1.0 and likeness(grids[0], grids[1]) < 0.2
    save_chorales(tmp_path / "c.npz", pieces)
    trained, held = chorale_split(tmp_path / "c.npz", held_out=6)
    assert len(held) == 6 and all(likeness(a, b) < 0.5 for a in trained for b in held)
    assert len(trained) < 12
    again = chorale_split(tmp_path / "c.npz", held_out=6)[1]
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(held, again, strict=True))


def test_every_window_comes_once_in_every_transposition_that_fits() -> None:
    grids = [chorale_grid(piece) for piece in chorales(3)]
    limits = voice_ranges(grids)
    data = Windows(grids, 32, shifts=range(-3, 4))
    begins = len(range(0, 84 - 32 + 1, 4))
    shifts = {number: sorted({s for n, _, s in data.table.tolist() if n == number}) for number in range(3)}
    assert len(data) == begins * sum(map(len, shifts.values())) and all(0 in found for found in shifts.values())
    for index in range(0, len(data), 7):
        tokens = data[index]["x0"]
        assert isinstance(tokens, torch.Tensor)
        for row, (low, high) in zip(tokens, limits, strict=True):
            pitched = row[row < HOLD]
            assert low <= int(pitched.min()) and int(pitched.max()) <= high
    batch = data.__getitems__([0, 5])
    assert torch.equal(batch["x0"][1], data[5]["x0"])  # type: ignore[index, arg-type]
    with pytest.raises(InputError, match="longest"):
        Windows(grids, 100)


def test_passes_show_everything_before_anything_twice() -> None:
    order = Passes(23, 5, seed=3)
    seen: list[int] = []
    for epoch in range(4):
        order.set_epoch(epoch)
        assert len(list(order)) == len(order) == 5
        seen += list(order)
    assert len(set(seen)) == 20
    order.set_epoch(1)
    assert list(order) == seen[5:10]


def test_chorale_batches(tmp_path: Path) -> None:
    save_chorales(tmp_path / "c.npz", chorales(8))
    data = ChoraleData(str(tmp_path / "c.npz"), 4, 32, per_epoch=8, held_out=2)
    batches = list(data.train_dataloader())
    assert len(batches) == 2 and batches[0]["x0"].shape == (4, 4, 32)
    assert set(batches[0]["cond"]) == {"position", "bar", "fermata", "key", "mode"}
    assert len(data.val_dataloader().dataset) == 2 * 2  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------ folders of files
def test_a_folder_is_read_split_and_kept(tmp_path: Path) -> None:
    root = midi_folder(tmp_path / "POP909", 8)
    assert len(find_midi(root)) == 10 and [f.stem for f in pop909_files(root)] == [f"{i:03d}" for i in range(8)]
    voices = ["melody", "bridge", "piano"]
    data = FolderOfMusic(str(root), voices, find="pop909", batch_size=4, length=32, held_out=4, workers=0, shift=1)
    trained, held = data.split()
    assert len(trained) + len(held) == 8 and held and not {p.name for p in trained} & {p.name for p in held}
    assert next(iter(data.train_dataloader()))["x0"].shape == (4, 3, 32)
    kept = load_pieces(data.cache_path)
    assert [p.name for p in kept] == [f"{i:03d}" for i in range(8)] and kept[0].losses[0].notes == 24
    before = data.cache_path.stat().st_mtime_ns
    again = FolderOfMusic(str(root), voices, find="pop909", length=32, held_out=4, workers=0)
    assert [p.name for p in again.split()[1]] == [p.name for p in held]
    assert data.cache_path.stat().st_mtime_ns == before
    write_midi(song(99), root / "003" / "003.mid")  # another file: read anew
    changed = FolderOfMusic(str(root), voices, find="pop909", length=32, held_out=4, workers=0)
    changed.prepare_data()
    assert data.cache_path.stat().st_mtime_ns != before
    with pytest.warns(UserWarning, match=r"1 of 10 files are left out.*broken"):
        FolderOfMusic(str(root), voices, cache=str(tmp_path / "all.npz"), workers=0).prepare_data()


def test_processes_read_what_one_reads(tmp_path: Path) -> None:
    files = find_midi(midi_folder(tmp_path / "f", 3))
    one, two = (read_folder(files, ["melody", "piano"], workers=w) for w in (0, 2))
    assert [p.name for p in one.pieces] == [p.name for p in two.pieces] and list(one.skipped) == list(two.skipped)
    assert all(np.array_equal(a.grid.tokens, b.grid.tokens) for a, b in zip(one.pieces, two.pieces, strict=True))


def test_which_track_is_a_voice() -> None:
    score = song(0)
    assert voices_of(score, ["piano", "melody", "drums"], "names") == [2, 0, None]
    upside_down = score.with_tracks(score.tracks[::-1])
    assert voices_of(upside_down, ["a", "b", "c"], "height") == [2, 1, 0]
    assert voices_of(upside_down, ["a", "b"], "order") == [0, 1]
    with pytest.raises(InputError, match="expected 4"):
        voices_of(score, ["a", "b", "c", "d"], "height")
    with pytest.raises(InputError, match="MELODY"):
        voices_of(score, ["flute"], "names")


def test_jsb_json(tmp_path: Path) -> None:
    piece = [[60, 55, 52, -1], [60, 55, 50, -1], [62, 55, 50, 40]]
    (tmp_path / "jsb.json").write_text(json.dumps({"valid": [piece]}), encoding="utf-8")
    (grid,) = jsb_grids(tmp_path / "jsb.json", "valid")
    assert grid.tokens.tolist() == [[60, HOLD, 62], [55, HOLD, HOLD], [52, 50, HOLD], [REST, REST, 40]]
    with pytest.raises(InputError, match="test"):
        jsb_grids(tmp_path / "jsb.json", "test")
