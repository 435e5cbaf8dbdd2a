"""Songs: GETMusic's reveal counts, its sampler, and wishes fulfilled by a tiny untrained network."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.cli.main import main
from polyscore.denoisers.base import Prediction
from polyscore.errors import CheckpointError, InputError
from polyscore.hub import load, save
from polyscore.music.chords import parse_chords
from polyscore.music.getscore import PARTS, GetVocabulary, decode
from polyscore.music.midi import read_midi, write_midi
from polyscore.music.networks.roformer import GetRoformer
from polyscore.music.pipeline import Writing
from polyscore.music.revealing import ByTrack, reveal_counts
from polyscore.music.score import Key, Meter, Score, Tempo, Track
from polyscore.music.song_arranging import SongArranger
from polyscore.music.song_model import SongModel
from polyscore.music.wish import Blank, Outcome, Wish
from polyscore.processes.discrete import Absorbing
from polyscore.samplers import trajectory
from polyscore.state import Given, Time

_ARRAYS = Path(os.environ.get("POLYSCORE_REFERENCE", "/nonexistent")) / "music/golden/getmusic_diffusion.npz"
_ROWS = {part.name: 2 * i for i, part in enumerate(PARTS)}


def _arranger() -> SongArranger:
    torch.manual_seed(0)
    vocabulary = GetVocabulary(piano=("60 64", "60 67"), drums=("164 170",))
    network = GetRoformer(len(vocabulary.tokens), embedding=4, width=16, layers=1, heads=2, hidden=16)
    return SongArranger(SongModel(network, vocabulary, window=64, writing=Writing("random", 4)))


def _song(bars: int = 4, up: int = 0) -> Score:
    quarters = range(4 * bars)
    vocals = Track.of([(480 * i, 480, 72 + up + (0, 4, 7, 5)[i % 4], 90) for i in quarters], name="Vocals", program=53, channel=0)
    keys = Track.of([(1920 * i, 1900, p + up, 70) for i in range(bars) for p in (60, 64)], name="Rhodes", program=4, channel=1)
    bass = Track.of([(960 * i, 900, 36 + up, 99) for i in range(2 * bars)], name="Bass", program=38, channel=2)
    kit = Track.of([(240 * i, 60, 42, 60) for i in range(8 * bars)], is_drum=True, channel=9)
    rain = Track.of([(0, 100, 60, 20)], name="rain", program=122, channel=3)
    return Score((vocals, keys, bass, kit, rain), 480, (Tempo(0, 555_555), Tempo(1920, 500_000)), (Meter(0, 4, 4),))


def _run(piece: Score | Blank, wish: Wish, seeds: tuple[int, ...] = (0,)) -> list[Outcome]:
    arranger = _arranger()
    draft = arranger.begin(piece, wish)
    *_, last = arranger.write(draft, seeds)
    return arranger.finish(draft, last)


@pytest.mark.skipif(not _ARRAYS.is_file(), reason="POLYSCORE_REFERENCE is not set")
def test_reveal_counts_are_the_original_s() -> None:
    arrays = np.load(_ARRAYS)
    names = [name for name in arrays.files if name.startswith("nsample_")]
    assert len(names) >= 3
    for name in names:
        for column, hidden in enumerate(map(int, name.split("_")[1:7])):
            published = np.maximum(arrays[name][:, column], 0)
            published[0] = 0
            assert reveal_counts(hidden).tolist() == published.tolist()


@pytest.mark.parametrize("hidden", [0, 1, 98, 99, 100, 1023, 5000])
def test_reveal_counts_add_up(hidden: int) -> None:
    assert reveal_counts(hidden).sum() == hidden
    assert reveal_counts(hidden)[0] == 0


def test_tracks_are_revealed_by_those_counts_and_without_hidden_cells_nobody_is_asked() -> None:
    process, calls = Absorbing(5), 0

    def model(x: Tensor, t: Time, given: Given) -> Prediction:
        nonlocal calls
        calls += 1
        return Prediction(torch.zeros(*x.shape, 5))

    mask = torch.ones(2, 4, 60, dtype=torch.bool)
    mask[:, 2:, 17:] = False
    like = torch.zeros(2, 4, 60, dtype=torch.long)
    frames = list(trajectory(ByTrack(), model, process, like, steps=99, given=Given(mask=mask)))
    assert len(frames) == 99
    last = torch.where(mask, 5, 0)
    for i, frame in enumerate(frames):
        new = (frame.x != 5) & (last == 5)
        for track, hidden in enumerate((120, 34)):
            assert (new[:, 2 * track : 2 * track + 2].sum((1, 2)) == reveal_counts(hidden)[99 - i]).all()
        last = frame.x
    assert bool((last != 5).all())
    due = reveal_counts(120) + reveal_counts(34)
    assert calls == (due > 0).sum()


def test_kept_tracks_are_untouched_and_new_ones_appear() -> None:
    score = _song()
    [one] = _run(score, Wish(keep=("lead", "bass"), fill=("guitar", "drums")))
    assert [track.name for track in one.score.tracks] == ["Vocals", "Bass", "", "rain", "guitar"]
    assert (one.score.tracks[0], one.score.tracks[1], one.score.tracks[3]) == (score.tracks[0], score.tracks[2], score.tracks[4])
    assert one.new[2].all()
    assert one.score.tracks[2].is_drum
    assert (one.score.tracks[4].program, one.score.tempos) == (25, score.tempos)
    assert ((one.score.tracks[2].notes["pitch"] >= 0) & (one.score.tracks[2].notes["pitch"] < 128)).all()
    assert one.score.tracks[4].notes["start"].max() < 4 * 1920


@pytest.mark.parametrize("up", [0, 5])
def test_the_model_sees_c_major_and_the_piece_stays_in_its_key(up: int) -> None:
    arranger, score = _arranger(), _song(up=up)
    draft = arranger.begin(score, Wish(keep=("lead",), fill=("strings",), chords=parse_chords("F C") if up else ()))
    assert draft.shift == -up
    vocabulary = arranger.model.vocabulary
    lead = decode(draft.tokens, vocabulary)["lead"]
    assert lead[:, 2].tolist() == (score.tracks[0].notes["pitch"] - up).tolist()
    assert (draft.tokens[_ROWS["bass"]] == vocabulary.empty).all()
    assert draft.hidden.sum() == draft.hidden[10:12].sum() == 2 * 64
    if up:
        roots = draft.tokens[12] - vocabulary.root
        assert roots[[0, 16, 32, 48]].tolist() == [0, 7, 0, 7]  # F and C, seen in C major
        assert draft.chords == ("F", "C", "F", "C")


def test_bars_of_given_parts_are_written() -> None:
    score = _song()
    arranger = _arranger()
    draft = arranger.begin(score, Wish(bars=(2, 3), fill=("lead",)))
    assert np.flatnonzero(draft.hidden[0]).tolist() == list(range(16, 48))
    assert draft.hidden[2:].sum() == 0
    *_, last = arranger.write(draft, [3])
    [made] = arranger.finish(draft, last)
    kept = made.score.tracks[0].notes[~made.new[0]]
    old = score.tracks[0].notes
    assert kept.tolist() == old[(old["start"] < 1920) | (old["start"] >= 5760)].tolist()
    assert made.score.tracks[1:] == score.tracks[1:]


def test_more_bars_in_windows() -> None:
    score = _song()
    arranger = _arranger()
    draft = arranger.begin(score, Wish(further=3))
    assert draft.tokens.shape == (14, 7 * 16)
    assert draft.hidden[:, :64].sum() == 0
    *_, last = arranger.write(draft, [0, 1])
    one, two = arranger.finish(draft, last)
    for k in range(4):
        assert one.score.tracks[k].notes[~one.new[k]].tolist() == score.tracks[k].notes.tolist()
        assert one.score.tracks[k].notes[one.new[k]]["start"].min(initial=10**6) >= 4 * 1920
    assert one.score != two.score
    [again] = _run(score, Wish(further=3), seeds=(1,))
    assert again.score == two.score


def test_new_songs_with_given_chords() -> None:
    draft = _arranger().begin(Blank(4, (3, 4), key=Key(0, -1, True)), Wish(fill=("piano",), chords=parse_chords("Dm A7")))
    assert draft.shift == 7  # D minor to A minor
    assert draft.tokens.shape == (14, 48)
    assert (draft.tokens[12, ::12] - _arranger().model.vocabulary.root).tolist() == [9, 4, 9, 4]
    assert draft.hidden.sum() == 2 * 48
    [made] = _run(Blank(2), Wish())
    assert [track.name for track in made.score.tracks] == list(_ROWS)


@pytest.mark.parametrize("order", ["lattice", "fhs", "confidence"])
def test_every_order_ends_and_speaks_each_row_s_language(order: str) -> None:
    arranger = _arranger()
    model = arranger.model
    grid = torch.full((14, 6), model.vocabulary.mask)
    grid[2:4] = model.vocabulary.empty
    source = torch.zeros_like(grid)
    how = Writing(order, 3, sweeps=2 if order == "lattice" else 0)  # type: ignore[arg-type]
    *_, made = model.complete(grid, source, seeds=[0, 1], writing=how)
    assert (made[:, 2:4] == model.vocabulary.empty).all()
    table = torch.from_numpy(model.vocabulary.allowed)
    for row in (0, 1, *range(4, 14)):
        assert table[row, made[:, row]].all()


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Wish(keep=("tuba",)), "no part 'tuba'"),
        (Wish(keep=("guitar",), fill=("bass",)), "'guitar' is to be kept, but no track plays it"),
        (Wish(fill=("lead", "bass", "drums", "piano")), "nothing to go by"),
    ],
)
def test_wishes_that_do_not_fit_are_named(wish: Wish, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _arranger().begin(_song(), wish)


def test_saved_models_and_checkpoints_are_loaded_by_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = _arranger().model
    save(tmp_path / "model", model)
    back = load(tmp_path / "model")
    assert back.vocabulary == model.vocabulary
    write_midi(_song(), tmp_path / "song.mid")
    words = [str(tmp_path / "song.mid"), "--model", str(tmp_path / "model"), "-o", str(tmp_path / "out")]
    words += ["--no-preview", "--no-roll", "--steps", "2", "--chords", "C F"]
    assert main(["compose", *words, "--keep", "lead,drums,chord", "--fill", "bass"]) == 0
    made = read_midi(tmp_path / "out/song-1.mid")
    old = read_midi(tmp_path / "song.mid")
    assert (made.tracks[0], made.tracks[2]) == (old.tracks[0], old.tracks[3])
    assert "track 0 'Vocals'" in capsys.readouterr().out
    with pytest.raises(CheckpointError, match="no such file"):
        SongModel.from_pretrained(tmp_path / "none.pth")
    with pytest.raises(InputError, match="same number of tokens"):
        SongModel(model.network, GetVocabulary())
