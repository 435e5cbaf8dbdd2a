"""`polyscore compose`: files, report, what stays, and the answers to wrong usage; with a tiny untrained model."""

import json
import wave
from pathlib import Path
from typing import Any

import pytest
import torch

from polyscore.cli.compose_wish import bars_of, key_of, meter_of
from polyscore.cli.main import main
from polyscore.cli.schema import validate
from polyscore.denoisers.tokens import TokenDenoiser
from polyscore.hub import save
from polyscore.music.midi import read_midi, write_midi
from polyscore.music.networks import GridTransformer
from polyscore.music.pipeline import Composer
from polyscore.music.roles import CHOIR
from polyscore.music.score import Key, Meter, Score, Tempo, Track
from polyscore.processes.discrete import Absorbing


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    network = GridTransformer(4, 51, {"position": 33, "bar": 33, "key": 13, "mode": 3}, width=24, layers=1, heads=2)
    composer = Composer(TokenDenoiser(network, Absorbing(51)), CHOIR, [52] * 4, low=36, high=84, window=32)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save(folder, composer)
    return str(folder)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    tracks = [
        Track.of([(480 * i, 480, pitch + i % 5, 70 + i) for i in range(16)], name=name, program=52, channel=c)
        for c, (pitch, name) in enumerate(((70, "Soprano"), (62, "Alto"), (55, "Tenor"), (45, "Bass")))
    ]
    score = Score(tuple(tracks), 480, (Tempo(0, 612_000), Tempo(960, 700_000)), (Meter(0, 4, 4),), (Key(0, 0, False),))
    write_midi(score, tmp_path / "song.mid")
    return tmp_path / "song.mid"


def _run(*words: str | Path) -> int:
    return main(["compose", *map(str, words), "--quiet", "--steps", "3"])


def _report(folder: Path) -> Any:
    report = json.loads((folder / "report.json").read_text())
    validate(report)
    return report


def test_voices_are_filled_and_the_rest_comes_back(model: str, song: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _run(song, "--model", model, "-o", out, "--keep", "soprano,bass", "--fill", "alto,tenor", "--variations", "2") == 0
    old, one, two = (read_midi(path) for path in (song, out / "song-1.mid", out / "song-2.mid"))
    for made in (one, two):
        assert (made.tracks[0], made.tracks[3]) == (old.tracks[0], old.tracks[3])
        assert (made.tempos, made.meters, made.keys, made.ticks_per_beat) == (old.tempos, old.meters, old.keys, 480)
        assert [track.program for track in made.tracks] == [52] * 4
    assert one.tracks[1] != two.tracks[1]
    for i in (1, 2):
        assert (out / f"song-{i}_roll.png").read_bytes().startswith(b"\x89PNG")
        with wave.open(str(out / f"song-{i}_preview.wav")) as sound:
            assert sound.getnframes() / sound.getframerate() > old.seconds
    report = _report(out)
    assert [item["seed"] for item in report["items"]] == [0, 1]
    assert report["nfe"] > 0
    assert report["metrics"]["hidden_cells"] == 2 * 64
    assert {"crossings", "scale_consistency"} <= set(report["items"][0]["metrics"])
    assert len(report["metrics"]["tracks"]) == 4
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == []


def test_the_preview_is_fluidsynth_s_where_it_is_installed(
    model: str, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, font = tmp_path / "bin" / "fluidsynth", tmp_path / "piano.sf2"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nwhile [ "$1" != -F ]; do shift; done\necho played > "$2"\n')
    program.chmod(0o755)
    font.write_bytes(b"RIFF")
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    monkeypatch.setenv("SOUNDFONT", str(font))
    out = tmp_path / "out"
    assert _run(song, "--model", model, "-o", out, "--fill", "alto", "--chords", "C G", "--no-roll") == 0
    assert (out / "song-1_preview.wav").read_text() == "played\n"
    assert _report(out)["items"][0]["preview_by"] == "fluidsynth"


def test_the_second_variation_is_the_first_of_the_next_seed(model: str, song: Path, tmp_path: Path) -> None:
    plain = ("--model", model, "--fill", "alto", "--no-roll", "--no-preview")
    assert _run(song, *plain, "-o", tmp_path / "a", "--variations", "2", "--seed", "4") == 0
    assert _run(song, *plain, "-o", tmp_path / "b", "--seed", "5") == 0
    assert (tmp_path / "a/song-2.mid").read_bytes() == (tmp_path / "b/song-1.mid").read_bytes()


@pytest.mark.parametrize("order", ["random", "fhs", "confidence"])
def test_new_pieces_in_every_order(order: str, model: str, tmp_path: Path) -> None:
    words = ("--new", "--bars", "1", "--order", order, "--key", "F# minor", "--meter", "3/4", "--tempo", "96")
    sharp = ("--temperature", "0.9", "--top-p", "0.95")
    assert _run(*words, *sharp, "--model", model, "-o", tmp_path, "--no-preview", "--no-roll") == 0
    [path] = tmp_path.glob("*.mid")
    made = read_midi(path)
    assert (made.tempos, made.meters, made.keys) == ((Tempo(0, 625_000),), (Meter(0, 3, 4),), (Key(0, 3, True),))
    assert made.end <= 1440


def test_infill_continuation_and_harmony(model: str, song: Path, tmp_path: Path) -> None:
    quick = ("--model", model, "--order", "random", "--no-roll", "--no-preview", "-o")
    old = read_midi(song)
    assert _run(song, "--bars", "2-3", *quick, tmp_path / "a") == 0
    made = read_midi(tmp_path / "a/song-1.mid")
    for one, other in zip(made.tracks, old.tracks, strict=True):
        kept = (other.notes["start"] < 1920) | (other.notes["start"] >= 5760)
        assert set(other.notes[kept].tolist()) <= set(one.notes.tolist())
    assert _run(song, "--continue", "1", *quick, tmp_path / "b") == 0
    longer = read_midi(tmp_path / "b/song-1.mid")
    for one, other in zip(longer.tracks, old.tracks, strict=True):
        assert one.notes[one.notes["start"] < 7680].tolist() == other.notes.tolist()
    write_midi(old.with_tracks(old.tracks[:1]), tmp_path / "tune.mid")
    assert _run("--harmonise", tmp_path / "tune.mid", *quick, tmp_path / "c") == 0
    assert [track.name for track in read_midi(tmp_path / "c/tune-1.mid").tracks] == ["Soprano", "alto", "tenor", "bass"]


def test_a_dry_run_writes_nothing(model: str, song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compose", str(song), "--model", model, "--fill", "alto", "--dry-run", "-o", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "track 1 'Alto' (program 52, 16 notes): alto, by its name" in shown
    assert "64 cells would be written" in shown
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing given"),
        (("SONG", "--new"), "SONG and --new given"),
        (("--new", "--keep", "alto"), "nothing to keep"),
        (("SONG", "--fill", "tuba"), "no part 'tuba'"),
        (("SONG", "--bars", "7-9"), "bars 1 to 4"),
        (("SONG", "--fill", "alto", "--temperature", "0"), "--temperature 0"),
        (("nothing.mid",), "cannot be read"),
        (("SONG", "--harmonise", "SONG"), "given; expected one of"),
        (("--harmonise", "SONG", "--bars", "2"), "whole voices"),
        (("SONG", "--style", "chorale"), "--style"),
    ],
)
def test_wrong_usage_is_two_sentences(
    words: tuple[str, ...], message: str, model: str, song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [str(song) if word == "SONG" else word for word in words]
    assert main(["compose", *filled, "--model", model, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_words_for_bars_keys_and_meters() -> None:
    assert (bars_of("9"), bars_of("9-12")) == ((9, 9), (9, 12))
    assert [key_of(text)[1:] for text in ("C", "F# minor", "Ebm", "Bb major", "a min")] == [
        (0, False),
        (3, True),
        (-6, True),
        (-2, False),
        (0, True),
    ]
    assert meter_of("7/8") == (7, 8)


@pytest.mark.parametrize("words", [("--bars", "9-3"), ("--key", "H"), ("--key", "G#"), ("--meter", "4/5"), ("--chords", "Csus")])
def test_words_that_mean_nothing_are_refused(words: tuple[str, str], tmp_path: Path) -> None:
    assert main(["compose", "--new", *words, "-o", str(tmp_path)]) == 2
