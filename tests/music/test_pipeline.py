"""Composers: what is known stays, orders and windows, seeds, bounded calls, faults set right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.music.composers import small_composer, taught_composer

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.music.grid import HIDDEN, HOLD, REST, Grid, blank
from polyscore.music.metrics import counterpoint
from polyscore.music.metrics.voice_leading import parallels
from polyscore.music.orders import lattice
from polyscore.music.pipeline import Composer, Writing
from polyscore.music.repair import around, better, faults
from polyscore.music.windowed import Windowed, window_starts
from polyscore.state import NONE

QUICK = {
    "lattice": Writing(steps=4, sweeps=3),
    "random": Writing("random", 4),
    "fhs": Writing("fhs"),
    "confidence": Writing("confidence", 4),
}


@pytest.mark.parametrize("name", list(QUICK))
def test_what_is_known_stays_and_what_is_hidden_is_written(name: str) -> None:
    composer = small_composer()
    grid = blank(4, 2)
    tokens = grid.tokens.copy()
    tokens[0] = np.tile([60, HOLD, 62, REST], 8)
    tokens[2, 8:24] = 55
    grid = replace(grid, tokens=tokens)
    for made in composer.complete(grid, count=2, writing=QUICK[name], seed=3):
        assert np.array_equal(made.tokens[grid.tokens != HIDDEN], grid.tokens[grid.tokens != HIDDEN])
        assert made.tokens.max() < HIDDEN and (made.tokens[:, 0] != HOLD).all()
        pitched = made.tokens[made.tokens < HOLD]
        assert pitched.min() >= 40 and pitched.max() <= 80


def test_calls_are_bounded_by_what_was_asked_for_and_by_the_hidden_cells() -> None:
    logits = torch.zeros(4, 16, 6)
    for name, most in (("lattice", 4 + 3), ("random", 4), ("fhs", 40), ("confidence", 4)):
        composer = taught_composer(logits)
        grid = blank(4, 1)
        tokens = grid.tokens.copy()
        tokens[:, 10:] = 61  # 40 hidden cells
        composer.complete(replace(grid, tokens=tokens), writing=QUICK[name])
        assert composer.denoiser.network.calls <= most  # type: ignore[operator]
    composer = taught_composer(logits)
    composer.complete(blank(4, 1), writing=Writing(steps=2, sweeps=0, repairs=3))
    assert composer.denoiser.network.calls <= 2 + 3 * 8  # type: ignore[operator]
    complete = Grid(np.full((4, 16), 61))
    assert composer.complete(complete, count=2) == [complete, complete]


def test_a_version_depends_on_its_seed_alone() -> None:
    composer, grid = small_composer(), blank(4, 1)
    how = Writing(steps=4, sweeps=2, repairs=2)
    three = composer.complete(grid, count=3, writing=how, seed=5)
    assert np.array_equal(composer.complete(grid, writing=how, seed=7)[0].tokens, three[2].tokens)
    assert np.array_equal(composer.complete(grid, count=2, writing=how, seed=[6, 5], batch_size=1)[1].tokens, three[0].tokens)
    assert not np.array_equal(three[0].tokens, three[1].tokens)


def test_values_come_from_the_law_that_the_model_says() -> None:
    """A quarter to three quarters in every cell, by three orders; top-p and a low temperature take the likelier one."""
    logits = torch.full((1, 16, 4), -torch.inf)
    logits[..., 0], logits[..., 1] = np.log(0.25), np.log(0.75)
    composer = taught_composer(logits)
    grid = Grid(np.full((1, 16), HIDDEN))
    for how in (Writing("lattice", 4, 2, sweep_temperature=1.0), Writing("random", 4), Writing("fhs")):
        made = composer.complete(grid, count=64, writing=how, batch_size=64)
        share = float(np.mean([piece.tokens == 61 for piece in made]))
        assert share == pytest.approx(0.75, abs=4 * np.sqrt(0.1875 / 1024))
    for how in (Writing("random", 4, top_p=0.7), Writing("random", 4, temperature=0.02)):
        assert (composer.complete(grid, writing=how)[0].tokens == 61).all()


def test_the_lattice_is_spread_over_time() -> None:
    order = lattice(4, 64)
    cells = order.flatten().argsort(stable=True).view(32, 8)  # 32 calls of 8 cells
    for call in cells:
        voices, places = call // 64, (call % 64).sort().values
        assert len(voices.unique()) == 1 and places.diff().tolist() == [8] * 7
    assert (cells[:4] % 64 % 8 == 0).all() and (cells[:4, 0] // 64).tolist() == [0, 3, 1, 2]
    with pytest.raises(InputError, match="power"):
        lattice(4, 64, spacing=6)


def test_windows_cover_a_long_grid_and_agree_with_the_network() -> None:
    """The prediction of a position is that of the window in whose middle it lies; short grids go through as they are."""
    assert window_starts(64, 64, 32) == [0] and window_starts(100, 64, 32) == [0, 32, 36]
    assert window_starts(128, 64, 32) == [0, 32, 64]
    composer = small_composer()
    network = composer.denoiser.requires_grad_(False)
    x = torch.randint(44, (2, 4, 41), generator=torch.Generator().manual_seed(0))
    rows = {"position": torch.arange(41).unsqueeze(0) % 16 + 1}
    given = NONE._replace(cond=rows)
    logits = Windowed(network, 16, 8)(x, 0.5, given).x0
    for start, inside in ((0, slice(0, 12)), (8, slice(4, 12)), (16, slice(4, 12)), (25, slice(8, 16))):
        cut = given._replace(cond={"position": rows["position"][:, start : start + 16]})
        alone = network(x[..., start : start + 16], 0.5, cut).x0
        torch.testing.assert_close(logits[:, :, start : start + 16][:, :, inside], alone[:, :, inside])
    asked: list[int] = []

    def spy(state: torch.Tensor, t: float, _: object) -> Prediction:
        asked.append(len(state))
        return Prediction(torch.zeros(*state.shape, 43))

    Windowed(spy, 16, 8)(x[..., :16], 0.5, NONE)  # type: ignore[arg-type]
    Windowed(spy, 16, 8)(x, 0.5, NONE)  # type: ignore[arg-type]
    assert asked == [2, 2 * 5]
    assert composer.complete(Grid(np.full((4, 41), HIDDEN)), writing=Writing(steps=2, sweeps=1))[0].tokens.max() < HIDDEN


# ------------------------------------------------------------------------------------------------------- faults set right
FIFTHS = np.array([[67, HOLD, 69, HOLD], [65, HOLD, 65, HOLD], [60, HOLD, 62, HOLD], [48, HOLD, 47, HOLD]])


def test_faults_are_those_that_the_metric_counts() -> None:
    grid = Grid(FIFTHS)
    pitch = torch.from_numpy(grid.sounding()).unsqueeze(0)
    found = faults(pitch, crossings=False)[0]
    assert found.tolist() == [[0, 0, 1, 0], [0] * 4, [0, 0, 1, 0], [0] * 4]
    rng = np.random.default_rng(0)
    for _ in range(5):
        notes = rng.integers(-1, 12, (4, 40))
        mine = faults(torch.from_numpy(notes).unsqueeze(0), crossings=False)[0].sum()
        assert int(mine) == 2 * int(parallels(notes).sum())
    crossed = torch.tensor([[[60, 60], [62, 59], [50, 50], [51, -1]]])
    assert faults(crossed)[0].tolist() == [[1, 0], [1, 0], [1, 0], [1, 0]]


def test_only_what_is_better_is_taken_region_by_region() -> None:
    old, new = torch.zeros(1, 2, 12, dtype=torch.long), torch.ones(1, 2, 12, dtype=torch.long)
    changed = torch.zeros(1, 2, 12, dtype=torch.bool)
    changed[0, 0, 1:4], changed[0, 1, 7:9] = True, True
    before, after = torch.zeros(1, 2, 12, dtype=torch.long), torch.zeros(1, 2, 12, dtype=torch.long)
    before[0, 0, 2] = 1  # gone in the first region
    before[0, 1, 7] = 1
    after[0, 0, 9] = 1  # moved behind the end of the second: no gain
    made = better(old, torch.where(changed, new, old), changed, before, after)
    assert made.sum() == 3 and bool((made[0, 0, 1:4] == 1).all())
    assert around(before, 1)[0].tolist()[0] == [False] + [True] * 3 + [False] * 8


def test_repairs_take_faults_away_and_touch_nothing_that_was_given() -> None:
    torch.manual_seed(0)
    composer, grid = small_composer(), blank(4, 2)
    tokens = grid.tokens.copy()
    tokens[0] = np.tile([72, HOLD, 74, HOLD], 8)
    grid = replace(grid, tokens=tokens)
    plain, repaired = (composer.complete(grid, count=4, writing=Writing(steps=4, sweeps=0, repairs=n)) for n in (0, 12))
    a, b = (sum(int(faults(torch.from_numpy(g.sounding()[None])).sum()) for g in part) for part in (plain, repaired))
    assert b < 0.8 * a
    assert all(np.array_equal(made.tokens[0], tokens[0]) for made in repaired)


# ------------------------------------------------------------------------------------------------------------- new pieces
def test_new_pieces_have_their_bars_keys_and_phrases() -> None:
    composer = small_composer()
    (made,) = composer.new(3, fifths=-2, minor=True, writing=Writing(steps=2, sweeps=0))
    assert made.length == 48 and set(made.rows["key"].tolist()) == {11} and set(made.rows["mode"].tolist()) == {2}
    assert np.flatnonzero(made.rows["fermata"] == 2).tolist() == [*range(24, 28), *range(40, 48)]
    (free,) = composer.new(2, meter=(3, 4), phrase=0, fifths=None, minor=None, writing=Writing(steps=2, sweeps=0))
    assert free.length == 24 and "fermata" not in free.rows and not free.rows["key"].any()
    assert isinstance(counterpoint([made]).hold, float)
    assert [track.name for track in composer.tracks] == ["s", "a", "t", "b"]


def test_bad_input_is_named() -> None:
    composer = small_composer()
    for message, grid, count in (
        ("voices", blank(3, 1), 1),
        ("positions a beat", blank(4, 1, per_beat=12), 1),
        ("40 to 80", Grid(np.array([[20, HIDDEN]] * 4)), 1),
        ("at least one", blank(4, 1), 0),
    ):
        with pytest.raises(InputError, match=message):
            composer.complete(grid, count=count)
    with pytest.raises(InputError, match="seed each"):
        composer.complete(blank(4, 1), count=2, seed=[1])
    with pytest.raises(InputError, match="order"):
        Writing("alphabetical")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="falling blocks"):
        Writing(blocks=(0.1, 0.5))
    with pytest.raises(InputError, match="43 categories"):
        Composer(composer.denoiser, ["a"] * 4, [0] * 4, low=0, high=50)
