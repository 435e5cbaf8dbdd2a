"""Scores that are none, to every verb that reads music; and large sound ones, which are done."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.robustness.hostile import Case, Shelf, attack, bounded, cases, place
from tests.robustness.hostile_files import ABSENT, BINARY, DANGLING, FOLDER, LOOP, cut, pickled
from tests.robustness.hostile_shelf import midi

from polyscore.cli.main import main

pytest.importorskip("mido")


def chunk(name: bytes, data: bytes) -> bytes:
    return name + len(data).to_bytes(4, "big") + data


def smf(*tracks: bytes, kind: int = 1, declared: int | None = None, division: int = 480) -> bytes:
    """A MIDI file of the bytes of its tracks."""
    head = b"".join(n.to_bytes(2, "big") for n in (kind, len(tracks) if declared is None else declared, division))
    return chunk(b"MThd", head) + b"".join(chunk(b"MTrk", track) for track in tracks)


END = b"\x00\xff\x2f\x00"
NOTE = b"\x00\x90\x3c\x50\x83\x60\x80\x3c\x00"
BILLION = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
LAUGHS = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">{BILLION}]><score-partwise><part>&j;</part></score-partwise>'
SECRET = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><score-partwise>&a;</score-partwise>'


def mxl(inner: bytes, listed: str = "score.xml") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            roots = f'<rootfiles><rootfile full-path="{listed}"/></rootfiles>'
            archive.writestr("META-INF/container.xml", f"<container>{roots}</container>")
            archive.writestr("score.xml", inner)

    return write


MIDI = [
    ("empty.mid", b"", "an empty file, expected a standard MIDI file"),
    ("text.mid", "no notes here", "a file that begins with"),
    ("binary.mid", BINARY, "no MIDI file"),
    ("pickle.mid", pickled(), "no MIDI file"),
    ("header.mid", b"MThd\0\0\0\x06", "cut off inside its header"),
    ("cut.mid", cut(midi, 0.7), "cut off after 1 of 3|cut off after 2 of 3"),
    ("type-2.mid", smf(END, kind=2), "type 2"),
    ("smpte.mid", smf(NOTE + END, division=0xE728), "SMPTE"),
    ("no-ticks.mid", smf(NOTE + END, division=0), "SMPTE|ticks"),
    ("65535-tracks.mid", smf(NOTE + END, declared=65535), "cut off after 1 of 65535"),
    ("no-notes.mid", smf(END), "holds no note"),
    ("unended.mid", smf(NOTE[:4] + END), "1 note without an end"),
    ("running.mid", smf(b"\x00\x3c\x50" + END), "cut off or damaged"),
    ("endless-number.mid", smf(b"\xff" * 400 + END), "cut off or damaged|holds no note"),
    ("huge-text.mid", smf(b"\x00\xff\x01\xff\xff\xff\x7f" + END), "cut off or damaged"),
    ("no-denominator.mid", smf(b"\x00\xff\x58\x04\x04\xff\x18\x08" + NOTE + END), "cut off or damaged|meter"),
    ("no-numerator.mid", smf(b"\x00\xff\x58\x04\x00\x02\x18\x08" + NOTE + END), "meter"),
    ("no-tempo.mid", smf(b"\x00\xff\x51\x03\x00\x00\x00" + NOTE + END), "tempo"),
    ("wrong-key.mid", smf(b"\x00\xff\x59\x02\x63\x05" + NOTE + END), "cut off or damaged|key"),
    ("a-week-long.mid", smf(NOTE + b"\xff\xff\xff\x7f\x90\x3c\x50\x83\x60\x80\x3c\x00" + END), "long|bars|beats"),
    ("folder.mid", FOLDER, "cannot be read"),
    ("dangling.mid", DANGLING, "cannot be read"),
    ("loop.mid", LOOP, "cannot be read"),
    ("m" * 300 + ".mid", ABSENT, "too long"),
]
XML = [
    ("empty.musicxml", b"", "cannot be read as MusicXML"),
    ("text.musicxml", "no notes", "cannot be read as MusicXML"),
    ("laughs.musicxml", LAUGHS, "cannot be read as MusicXML|no note"),
    ("secret.musicxml", SECRET, "cannot be read as MusicXML|no note"),
    ("deep.musicxml", "<part>" * 100_000, "cannot be read as MusicXML"),
    ("none.musicxml", "<score-partwise><part-list/></score-partwise>", "cannot be read as MusicXML|no note"),
    ("binary.mxl", BINARY, "cannot be read as MusicXML"),
    ("absent.mxl", mxl(b"", "elsewhere.xml"), "cannot be read as MusicXML"),
    ("dangling.mxl", DANGLING, "cannot be read; expected"),
]
COMPOSE = "compose {bad} -o {out} --no-roll --no-preview --quiet --steps 1 --sweeps 0"


@pytest.mark.parametrize("case", cases(COMPOSE, MIDI))
def test_compose(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


@pytest.mark.parametrize("case", cases(COMPOSE, XML))
def test_compose_reads_musicxml(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("music21")
    attack(case, shelf, tmp_path, capfd)


@pytest.mark.parametrize("row", MIDI[:-4], ids=[row[0] for row in MIDI[:-4]])
def test_evaluate_scores_the_others(
    row: tuple[Any, ...], shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, make, *says = row

    def pair(path: Path) -> None:
        midi(path.with_name("sound.mid"))
        place(make, path)

    (case,) = cases("evaluate music {in} --report {out}/report.json --quiet", [(name, pair, *says)])
    attack(case.values[0], shelf, tmp_path, capfd)
    items = json.loads((tmp_path / "out" / "report.json").read_text())["items"]
    assert {Path(item["input"]).name: item["status"] for item in items} == {name: "failed", "sound.mid": "done"}


def test_two_hundred_tracks_in_seven_eighths(tmp_path: Path) -> None:
    meter = b"\x00\xff\x58\x04\x07\x03\x18\x08"
    tracks = []
    for k in range(200):
        channel, pitch = k % 16, 30 + k % 60
        notes = [0, 0xC0 + channel, k % 128, 0, 0x90 + channel, pitch, 80, 96, 0x80 + channel, pitch, 0]
        tracks.append(bytes(notes) + END)
    (tmp_path / "many.mid").write_bytes(smf(meter + END, *tracks))
    with bounded():
        assert main(["evaluate", "music", str(tmp_path / "many.mid"), "--quiet"]) == 0


@pytest.mark.parametrize("events", [50_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_million_events_do_not_fill_the_memory(tmp_path: Path, events: int) -> None:
    notes = b"\x00\x90\x3c\x50" + b"\x10\x3c\x00\x00\x3c\x50" * (events // 2) + b"\x10\x3c\x00"
    (tmp_path / "long.mid").write_bytes(smf(notes + END))
    with bounded():
        assert main(["evaluate", "music", str(tmp_path / "long.mid"), "--quiet"]) == 0
