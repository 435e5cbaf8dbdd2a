"""Piano rolls: a note is where it belongs in its track's colour, new notes are hatched, long pieces take several rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polyscore.music.roll import COLOURS, draw
from polyscore.music.score import Meter, Score, Track


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def near(image: np.ndarray, colour: str) -> np.ndarray:
    """Where a pixel is of a colour, at nine tenths on white, in rows with more of it than the legend has."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) * 0.9 + 255 * 0.1
    found = np.abs(image - rgb).max(-1) < 12
    return np.asarray(found & (found.sum(1, keepdims=True) > 40))


def two_tracks() -> Score:
    low = Track.of([(0, 1920, 48, 80)], name="bass")
    high = Track.of([(1920, 1920, 72, 80)], name="lead")
    return Score((high, low))


def test_a_note_is_where_it_belongs(tmp_path: Path) -> None:
    draw(tmp_path / "roll.png", two_tracks())
    image = read(tmp_path / "roll.png")
    high, low = (np.argwhere(near(image, colour)).mean(0) for colour in COLOURS[:2])
    assert high[0] < low[0] and high[1] > low[1]  # higher and later
    areas = [int(near(image, colour).sum()) for colour in COLOURS[:2]]
    assert areas[0] == pytest.approx(areas[1], rel=0.25)  # of one length, one with a bar line on its edge


def test_new_notes_are_hatched(tmp_path: Path) -> None:
    for name, new in (("kept", {}), ("new", {0: np.array([True])})):
        draw(tmp_path / f"{name}.png", two_tracks(), new=new, title=name)
    pictures = [read(tmp_path / f"{name}.png") for name in ("kept", "new")]
    plain, hatched = (int(near(image, COLOURS[0]).sum()) for image in pictures)
    assert 0.2 * plain < hatched < 0.9 * plain
    same = [int(near(image, COLOURS[1]).sum()) for image in pictures]
    assert same[0] == pytest.approx(same[1], rel=0.25)


def test_long_and_empty_pieces(tmp_path: Path) -> None:
    sizes = []
    for bars in (4, 40, 1000):
        track = Track.of([(1920 * i, 960, 60 + i % 12, 80) for i in range(bars)])
        draw(tmp_path / "long.png", Score((track,), meters=(Meter(0, 4, 4),)))
        sizes.append(Image.open(tmp_path / "long.png").size)
    assert sizes[0][1] < sizes[1][1] < sizes[2][1] < 1600 and max(width for width, _ in sizes) <= 2000
    draw(tmp_path / "empty.png", Score(()))
    assert Image.open(tmp_path / "empty.png").size[0] > 100
