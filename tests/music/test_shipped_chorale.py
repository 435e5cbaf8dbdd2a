"""The shipped model `chorale`: it knows Bach, leads voices cleanly, keeps what is given, and is small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from polyscore.hub import shipped
from polyscore.music import Composer
from polyscore.music.data.chorales import chorale_grid, read_chorales
from polyscore.music.grid import HIDDEN, score_of
from polyscore.music.metrics import counterpoint, nats_per_token
from polyscore.music.pipeline import Writing

# Held-out pieces: no near-copy of them was trained on.
HELD_OUT = ("bwv10.7", "bwv169.7", "bwv270", "bwv308", "bwv354", "bwv409")


def test_it_reaches_its_numbers_on_held_out_pieces() -> None:
    """Six of the sixty, two draws a window; of all sixty with four draws it is .434 nats a token (untold .478)."""
    corpus = pytest.importorskip("music21.corpus")
    paths = [p for p in corpus.getComposer("bach") if p.stem in HELD_OUT]
    grids = [chorale_grid(piece) for piece in read_chorales(paths)]
    composer = Composer.from_pretrained("chorale")
    told = nats_per_token(composer, grids, draws=2)[0]
    untold = nats_per_token(composer, grids, draws=2, without=("fermata", "key", "mode"))[0]
    assert told == pytest.approx(0.438, abs=0.012) and told < untold < told + 0.12


def test_new_chorales_are_clean_and_stay_in_their_key() -> None:
    composer = Composer.from_pretrained("chorale")
    made = composer.new(4, count=6, fifths=2, minor=False, seed=11)
    found = counterpoint(made)
    assert 0.66 < found.hold < 0.76 and 0.1 < found.off_beat < 0.33
    assert found.crossings <= 0.012 and found.parallels <= 0.3
    assert found.scale > 0.9 and found.consonant > 0.65
    assert all(((grid.tokens < 128) | (grid.tokens == 128)).mean() > 0.95 for grid in made)
    assert score_of(made[0], tracks=composer.tracks).tracks[0].name == "soprano"


def test_a_soprano_is_harmonised_and_kept() -> None:
    composer = Composer.from_pretrained("chorale")
    (grid,) = composer.new(2, seed=3, writing=Writing(steps=16, sweeps=8))
    tokens = grid.tokens.copy()
    tokens[1:] = HIDDEN
    made = composer.complete(replace(grid, tokens=tokens), count=2, seed=5)
    assert all(np.array_equal(version.tokens[0], grid.tokens[0]) for version in made)
    assert not np.array_equal(made[0].tokens, made[1].tokens)
    assert counterpoint(made).crossings <= 0.02


def test_its_card_names_data_and_licence_and_it_is_small() -> None:
    folder = next(entry.path for entry in shipped() if entry.name == "chorale")
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert "music21" in card and "license: apache-2.0" in card and "trained only on a CPU" in card
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 5 * 2**20
