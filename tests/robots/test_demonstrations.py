"""Demonstrations, their files, and hindsight windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.robots.parts import demonstrations

from polyscore.errors import InputError
from polyscore.robots.data import recordings
from polyscore.robots.data.readers import read
from polyscore.robots.data.windows import Order, PlayData, Windows
from polyscore.robots.demonstrations import Demonstrations


def test_a_recording_comes_back(tmp_path: Path) -> None:
    data = demonstrations()
    recordings.write(tmp_path / "a.npz", data)
    back = read(tmp_path / "a.npz")
    assert back.fingerprint() == data.fingerprint()
    assert back.about == data.about
    recordings.write(tmp_path / "b.npz", demonstrations(3, seed=1))
    both = read(tmp_path)
    assert len(both) == 11
    assert both.lengths.tolist() == [*range(20, 28), 20, 21, 22]


def block_push(folder: Path, data: Demonstrations) -> None:
    size = (len(data), int(data.lengths.max()))
    arrays = {"observations": np.zeros((*size, 8)), "actions": np.zeros((*size, 2)), "masks": np.zeros(size)}
    for i, episode in enumerate(data):
        n = len(episode.actions)
        arrays["observations"][i, :n], arrays["actions"][i, :n], arrays["masks"][i, :n] = episode.observations, episode.actions, 1
    for name, array in arrays.items():
        np.save(folder / f"multimodal_push_{name}.npy", array)


def test_play_to_policy_sets(tmp_path: Path) -> None:
    data = demonstrations()
    block_push(tmp_path, data)
    assert read(tmp_path).fingerprint() == data.fingerprint()
    kitchen = tmp_path / "kitchen"
    kitchen.mkdir()
    for ours, theirs in (("observations", "observations_seq"), ("actions", "actions_seq"), ("masks", "existence_mask")):
        np.save(kitchen / f"{theirs}.npy", np.load(tmp_path / f"multimodal_push_{ours}.npy").swapaxes(0, 1))
    assert read(kitchen).fingerprint() == data.fingerprint()


def spoil_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_nan(path: Path) -> None:
    array = np.load(path)
    array[1, 0, 0] = np.nan
    np.save(path, array)


def spoil_hostile(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("multimodal_push_actions.npy", spoil_cut, "cannot be read"),
        ("multimodal_push_observations.npy", spoil_nan, "NaN"),
        ("multimodal_push_actions.npy", spoil_hostile, "cannot be read"),
        ("multimodal_push_masks.npy", Path.unlink, "is missing"),
        ("multimodal_push_masks.npy", lambda path: np.save(path, np.ones((2, 3))), "do not fit"),
        ("multimodal_push_masks.npy", lambda path: np.save(path, 1 - np.load(path)), "holes"),
    ],
)
def test_damaged_play_data_are_refused(name: str, spoil: Any, message: str, tmp_path: Path) -> None:
    block_push(tmp_path, demonstrations())
    spoil(tmp_path / name)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04garbage"])
def test_damaged_recordings_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match="a.npz"):
        read(tmp_path / "a.npz")
    with pytest.raises(InputError, match="no such"):
        read(tmp_path / "b.npz")


def test_windows_are_whole_and_goals_lie_behind() -> None:
    data = demonstrations()
    windows = Windows(data, 5, 2)
    batch = windows.__getitems__(list(range(3 * len(windows))))
    frame = {tuple(row.tolist()): i for i, row in enumerate(data.observations)}
    episode = torch.repeat_interleave(torch.arange(len(data)), data.lengths)
    ends = []
    for observations, goal, actions in zip(batch["cond"]["observation"], batch["cond"]["goal"], batch["x0"], strict=True):
        places = [frame[tuple(row.tolist())] for row in (*observations, *goal)]
        assert places[:5] == list(range(places[0], places[0] + 5))
        assert places[6] == places[5] + 1
        assert places[5] > places[4]
        assert len({int(episode[p]) for p in places}) == 1
        torch.testing.assert_close(actions, data.actions[places[0] : places[0] + 5])
        ends.append(places[6] + 1 == int(data.offsets[int(episode[places[0]]) + 1]))
    assert 0.05 < np.mean(ends) < 0.6
    assert len(windows) == sum(n - 5 - 2 + 1 for n in data.lengths.tolist())
    last = Windows(data, 5, 2, final=1.0).__getitems__(list(range(len(windows))))["cond"]["goal"][:, -1]
    assert {tuple(row.tolist()) for row in last} == {tuple(data.observations[e - 1].tolist()) for e in data.offsets[1:].tolist()}


def test_padded_windows_repeat_the_ends_of_their_episode() -> None:
    data, (window, goals) = demonstrations(), (5, 2)
    padded = Windows(data, window, goals, pad=(3, 4), final=1.0)
    batch = padded.__getitems__(list(range(len(padded))))
    expected = []
    for episode, length in enumerate(data.lengths.tolist()):
        own = data[episode].observations
        for start in range(-3, length - window - goals + 4 + 1):
            frames = [min(max(start + k, 0), length - 1) for k in range(window)]
            expected.append((own[frames], own[-goals:]))
    torch.testing.assert_close(batch["cond"]["observation"], torch.stack([seen for seen, _ in expected]))
    torch.testing.assert_close(batch["cond"]["goal"], torch.stack([goal for _, goal in expected]))
    with pytest.raises(InputError, match="pad"):
        Windows(data, window, goals, pad=(5, 0))


def test_goals_are_even_over_the_future() -> None:
    data = demonstrations(1, 40)
    windows = Windows(data, 5)
    goals = windows.__getitems__([len(windows) * k for k in range(7000)])["cond"]["goal"][:, 0]
    places = (goals[:, None] == data.observations).all(-1).float().argmax(1)
    counts = torch.bincount(places, minlength=40)
    assert counts[:5].sum() == 0
    assert counts[5:].min() > 140 and counts[5:].max() < 270  # 200 expected, deviation 14


def test_an_epoch_visits_every_window_once_and_the_next_other_goals() -> None:
    windows = Windows(demonstrations(), 5)
    order = Order(len(windows), 2 * len(windows), seed=4)
    first = list(order)
    assert sorted(i % len(windows) for i in first[: len(windows)]) == list(range(len(windows)))
    order.set_epoch(1)
    assert set(first).isdisjoint(order)
    with pytest.raises(InputError, match="the longest episode"):
        Windows(demonstrations(), 40)


def test_batches_of_the_data_module(tmp_path: Path) -> None:
    recordings.write(tmp_path / "a.npz", demonstrations())
    data = PlayData(tmp_path / "a.npz", 5, 1, batch_size=8, steps_per_epoch=3, share=0.75)
    train, validation = data.parts
    assert (len(train), len(validation)) == (6, 2)
    assert set(train.lengths.tolist()).isdisjoint(validation.lengths.tolist())
    batches = list(data.train_dataloader())
    assert [b["x0"].shape for b in batches] == [(8, 5, 2)] * 3
    again = list(PlayData(tmp_path / "a.npz", 5, 1, batch_size=8, steps_per_epoch=3, share=0.75).train_dataloader())
    torch.testing.assert_close(batches, again)
