"""Clips whose motion is known: what they claim about themselves is true, and noise follows them and stays white."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.films import write_film
from polyscore.noise import Dither, Motion, Noise, Residual, Silent, as_noise
from polyscore.pictures import pixels
from polyscore.training.draws import generator_of
from polyscore.video.data import Clips, ClipSource, Examples, FolderOfClips, Following, MovingDigits, Telling, Textures, VideoData
from polyscore.video.data.following import following
from polyscore.video.data.glyphs import distance, paths
from polyscore.video.data.layers import affine, layered
from polyscore.video.motion.frames import grid, sample
from polyscore.video.tracks import centroids, velocity

DRAWN = MovingDigits(frames=5, size=(24, 28), reach=(0.0, 0.0))


def test_distance_to_a_path() -> None:
    square = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]])
    places = torch.tensor([[[0.5, 0.5], [-3.0, -4.0], [2.0, 2.0], [0.25, -0.5], [1.0, 0.3]]])
    expected = torch.tensor([[0.5, 5.0, 2**0.5, 0.5, 0.0]])
    assert torch.allclose(distance(square, places), expected, atol=1e-3)


def test_digits_are_ten_different_shapes_of_one_size() -> None:
    drawn = paths()
    assert len(drawn) == 10
    assert float(drawn.abs().max()) <= 0.5
    assert bool((drawn[..., 1].amax(1) - drawn[..., 1].amin(1) > 0.85).all())  # all of them as tall as the box
    here = grid((32, 32)).flatten(1).mT / 26 - 0.6
    inked = distance(drawn, here.expand(10, -1, -1)) < 0.09
    overlap = (inked[:, None] & inked).sum(-1) / (inked[:, None] | inked).sum(-1)
    assert float(overlap.fill_diagonal_(0).max()) < 0.75


@pytest.mark.parametrize("source", [DRAWN, Textures(frames=5, size=(24, 28))], ids=lambda s: type(s).__name__)
def test_clips_move_as_they_say(source: ClipSource) -> None:
    clips = source(range(12))
    film = clips.film.transpose(1, 2)
    place = grid(source.size) + clips.backward
    limit = torch.tensor([source.size[1] - 1.0, source.size[0] - 1.0])[:, None, None]
    known = ~clips.revealed & ((place >= 0) & (place <= limit)).all(2)
    pulled = torch.stack([sample(film[b, :-1], place[b]) for b in range(len(film))])
    error = (pulled - film[:, 1:]).abs().mean(2)
    still = (film[:, :-1] - film[:, 1:]).abs().mean(2)
    moving = known & (clips.backward.norm(dim=2) > 0.5)
    # what bilinear sampling loses of a pen of two pixels and of a texture; what stands still is exact
    assert float(error[moving].mean()) < 0.45 * float(still[moving].mean())
    assert float(error[known].mean()) < 0.035


@pytest.mark.parametrize("source", [DRAWN, Textures(frames=5, size=(24, 28))], ids=lambda s: type(s).__name__)
def test_the_way_back_leads_home(source: ClipSource) -> None:
    clips = source(range(8))
    place = grid(source.size) + clips.forward
    column, row = (place + 0.5).floor().long().unbind(2)
    inside = (column >= 0) & (column < source.size[1]) & (row >= 0) & (row < source.size[0]) & ~clips.hidden
    cell = row.clamp(0, source.size[0] - 1) * source.size[1] + column.clamp(0, source.size[1] - 1)
    returned = clips.backward.flatten(3).gather(3, cell.flatten(2)[:, :, None].expand(-1, -1, 2, -1)).view_as(place)
    # the backward flow is that of the pixel, the forward one ends within half a pixel of it
    assert float((clips.forward + returned).norm(dim=2)[inside].max()) < 0.12
    assert 0 < float(clips.hidden.double().mean()) < 0.2


def test_layers_by_hand() -> None:
    """A block over a still ground, one column a frame to the right: flow, what it hides and what it leaves."""
    block = torch.zeros(1, 1, 2, 4, 5)
    block[:, :, 0, 1:3, 1:3], block[:, :, 1, 1:3, 2:4] = 1, 1
    centres = torch.tensor([[[[0.0, 0.0]] * 2, [[1.5, 1.5], [2.5, 1.5]]]])
    places = affine(centres, torch.ones(1, 2, 2), torch.zeros(1, 2, 2))
    colours = torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1, 1, 1).expand(-1, -1, -1, 2, 4, 5)
    boxes = torch.cat([centres[:, 1:] - 1, centres[:, 1:] + 1], -1)
    clips = layered(colours, block, block > 0, places, boxes)
    assert torch.equal(clips.film[0, 0], 2 * block[0, 0] - 1)
    assert torch.equal(clips.forward[0, 0, 0], block[0, 0, 0]) and not bool(clips.forward[0, 0, 1].any())
    assert torch.equal(clips.backward[0, 0, 0], -block[0, 0, 1])
    assert clips.hidden[0, 0].nonzero().tolist() == [[1, 3], [2, 3]]  # ground that the block comes to cover
    assert clips.revealed[0, 0].nonzero().tolist() == [[1, 1], [2, 1]]  # ground that it leaves
    assert torch.allclose(clips.tracks[0, 0], centres[0, 1])


def test_tracks_are_where_the_digits_are() -> None:
    source = MovingDigits(frames=6, digits=(1, 1), bend=0.0, speed=(1.0, 1.0))
    clips = source(range(40))
    steps = clips.tracks[:, 0].diff(dim=1)
    straight = steps.var(1).amax(-1) < 1e-8
    assert int(straight.sum()) > 10
    assert torch.allclose(steps[straight].norm(dim=-1), torch.ones(()), atol=1e-4)
    found = centroids((clips.film.transpose(1, 2) + 1) / 2)[straight]
    misses = (velocity(found) - velocity(clips.tracks[straight, 0])).norm(dim=-1)
    assert float(misses.mean()) < 0.02 and float(misses.max()) < 0.1  # pixels a frame: the measure's own error
    inside = clips.boxes[..., :2].amin() > -2 and clips.boxes[..., 2:].amax() < 33
    assert bool(inside)
    assert bool(MovingDigits()(range(20)).tracks[:, 1].isnan().any())  # some clips have one digit


@pytest.mark.parametrize(("motion", "fine"), [(Residual(), 1), (Residual(), 2), (Dither(), 1)])
def test_noise_of_a_batch_is_exactly_white(motion: Motion, fine: int) -> None:
    """out = A w is linear in the white draws w, so A A' is its covariance: the identity, between clips too."""
    clips = MovingDigits(frames=3, size=(8, 8), height=(4.0, 6.0), digits=(2, 2))(range(2))

    def carried(channels: int, noise: Noise) -> Tensor:
        return following(clips, channels, noise, motion=motion, fine=fine, degrade=torch.tensor([0.0, 0.4]))

    sizes: list[int] = []

    def count(like: Tensor, t: object = None, u: object = None) -> Tensor:
        sizes.append(like.numel())
        return torch.zeros_like(like)

    carried(1, count)
    draws, done = sum(sizes), iter([0, *torch.tensor(sizes).cumsum(0).tolist()])

    def one_each(like: Tensor, t: object = None, u: object = None) -> Tensor:
        """Channel c is 1 in the c-th of all draws and 0 in the others."""
        out, first = torch.zeros(like.numel() // draws, draws), next(done)
        out[:, first : first + len(out)] = torch.eye(len(out))
        axis = like.shape.index(draws)
        return out.view(like.movedim(axis, -1).shape).movedim(-1, axis)

    found = carried(draws, one_each).transpose(1, -1)  # (B, W, T, H, draws)
    frames = found[:, ::2, :, ::2].transpose(1, 2).flatten(2, 3)  # every other pixel: (B, T, P, draws)
    for frame in frames.flatten(0, 1):
        assert torch.allclose(frame @ frame.mT, torch.eye(len(frame)), atol=1e-5)
    assert float((frames[0].flatten(0, 1) @ frames[1].flatten(0, 1).mT).abs().max()) < 1e-5  # of two clips
    assert float((frames[0, 0] @ frames[0, 1].mT).abs().max()) > 0.9  # of two frames


def test_noise_moves_with_the_digit() -> None:
    source = MovingDigits(frames=4, digits=(1, 1), speed=(2.0, 2.0), bend=0.0, reach=(4.0, 4.0))
    clips = source(range(24))
    noise = following(clips, 8, as_noise(0))
    fresh = following(clips, 8, as_noise(0), degrade=torch.ones(24))
    moves = clips.forward.norm(dim=2) > 1

    def along(carried: Tensor, flow: Tensor) -> float:
        place = (grid(source.size) + flow[:, 0] + 0.5).floor().long()
        x, y = place[:, 0].clamp(0, 31), place[:, 1].clamp(0, 31)
        then = torch.stack([frame[:, y[b], x[b]] for b, frame in enumerate(carried[:, :, 1])])
        return float((carried[:, :, 0] * then).mean(1)[moves[:, 0]].mean())

    assert along(noise, clips.forward) > 0.8
    assert abs(along(noise, torch.zeros_like(clips.forward))) < 0.1
    assert abs(along(fresh, clips.forward)) < 0.1
    zero = following(clips, 1, Silent())
    assert not bool(zero.any())


def examples(**changes: Any) -> Examples:
    return Examples(MovingDigits(frames=3, size=(16, 16), height=(6.0, 8.0)), 50, **{"seed": 3, **changes})


def test_example_i_is_the_same_in_every_batch() -> None:
    data = examples()
    one, two = data.__getitems__([4, 7, 9]), data.__getitems__([9, 4])
    assert torch.equal(one["x0"][[2, 0]], two["x0"])
    assert not torch.equal(examples(seed=4).__getitems__([4])["x0"], one["x0"][:1])
    later = examples(start=50).__getitems__([4])["x0"]
    assert not torch.equal(later, one["x0"][:1])
    again = data.__getitems__([4, 7, 9])
    assert torch.equal(again["eps"], one["eps"])


def test_what_the_network_is_told() -> None:
    batch = examples().__getitems__(range(50))
    film, cond = batch["x0"], batch["cond"]
    known = cond["picture"][:, -1].amax((1, 2)) > 0
    assert 12 < int(known.sum()) < 38 and not bool(cond["picture"][~known].any())
    assert torch.equal(cond["picture"][known, :3], film[known, :, 0])
    said = ~cond["strength"].isnan()
    assert 12 < int(said.sum()) < 38 and float(cond["strength"][said].max()) <= 2.01
    assert "eps" not in examples(noise=None).__getitems__([0])


def test_pictures_among_the_clips() -> None:
    data = examples(telling=Telling(first=0.0, pictures=0.4))
    lengths = [data[i]["x0"].shape[2] for i in range(30)]
    assert set(lengths) == {1, 3} and 5 < lengths.count(1) < 20
    assert all(data[i]["eps"].shape == data[i]["x0"].shape for i in range(3))


def test_the_first_frame_as_end_point() -> None:
    batch = examples(telling=Telling(first=1.0, end_point=True)).__getitems__([0, 1])
    assert batch["y"].shape == batch["x0"].shape
    assert torch.equal(batch["y"][:, :, 0], batch["x0"][:, :, 0]) and torch.equal(batch["y"][:, :, 2], batch["x0"][:, :, 0])
    with pytest.raises(InputError, match=r"first is 0\.5"):
        Telling(end_point=True)
    with pytest.raises(InputError, match="strength is 2"):
        Telling(strength=2.0)


def test_epochs_and_validation() -> None:
    data = VideoData(MovingDigits(frames=2, size=(16, 16), height=(6.0, 8.0)), 4, 10, validation_items=5)
    assert [len(batch["x0"]) for batch in data.train_dataloader()] == [4, 4]
    first, again = (next(iter(data.val_dataloader()))["x0"] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, next(iter(data.train_dataloader()))["x0"])
    with pytest.raises(InputError, match="batch_size 20"):
        VideoData(MovingDigits(), 20, 10)


def test_a_folder_of_clips(tmp_path: Path) -> None:
    pytest.importorskip("av")
    pytest.importorskip("cv2")
    clips = Textures(frames=8, size=(48, 64), shapes=0, speed=4.0, spin=0.0, growth=0.0)([5])
    (tmp_path / "inner").mkdir()
    write_film(tmp_path / "inner" / "one.mp4", pixels((clips.film[0].transpose(0, 1) + 1) / 2).repeat(4, 1).repeat(4, 2))
    source = FolderOfClips(str(tmp_path), 4, (48, 64))
    cut = source([0, 1, 2])
    assert cut.film.shape == (3, 3, 4, 48, 64) and cut.tracks.shape == (3, 0, 4, 2)
    assert torch.equal(source([1]).film[0], cut.film[1])
    middle = (slice(None), slice(None), slice(None), slice(12, 36), slice(16, 48))
    wanted = clips.forward[:, :3].expand(3, -1, -1, -1, -1)[middle]
    assert float((cut.forward[middle] - wanted).norm(dim=2).mean()) < 0.25
    with pytest.raises(InputError, match="holds no clips"):
        FolderOfClips(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="8 frames; a cut takes 9"):
        FolderOfClips(str(tmp_path), 9, (48, 64))([0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MovingDigits(frames=1), "1 frames"),
        (lambda: MovingDigits(speed=(2.0, 1.0)), "speed"),
        (lambda: MovingDigits(size=(8, 8)), "heights"),
        (lambda: Textures(radius=(4.0, 40.0)), "radius"),
        (lambda: Textures(wave=(0.5, 2.0)), "waves"),
    ],
)
def test_what_cannot_be(make: Callable[[], Clips], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("power", [1.0, 4.0])
def test_shares_of_fresh_noise_are_powers_of_uniform_draws(power: float) -> None:
    """Of a clip that stands still, frames of noise correlate by (1 - s)^2 / ((1 - s)^2 + s^2) where the share is s = u^power."""
    clips = MovingDigits(frames=2, size=(24, 24), speed=(0.0, 0.0))(range(12))
    noise = Following(power=power)(clips, (5, "batch"))
    share = torch.rand(12, generator=generator_of(5, "batch", "share")) ** power
    wanted = (1 - share) ** 2 / ((1 - share) ** 2 + share**2)
    found = (noise[:, :, 0] * noise[:, :, 1]).mean((1, 2, 3))
    assert float((found - wanted).abs().max()) < 0.12
