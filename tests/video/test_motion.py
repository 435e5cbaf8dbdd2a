"""Motion sources against geometry that is known: inverse maps, projections, paths."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.noise import Flow
from polyscore.video.motion import Arrow, Keyframe, Layer, Pose, arrows, camera, composite, drag, estimate, field, polygon
from polyscore.video.motion.estimate import METHODS, lucas_kanade, unmatched
from polyscore.video.motion.frames import grid, sample


def texture(size: int, seed: int = 0) -> Tensor:
    noise = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed))
    smooth = F.avg_pool2d(F.pad(noise, (3, 3, 3, 3), mode="circular"), 7, 1)[0]
    return ((smooth - smooth.min()) / (smooth.max() - smooth.min())).contiguous()


def returns(flow: Flow) -> Tensor:
    """|F(p) + B(p + F(p))| where p stays in the frame and is not hidden."""
    place = grid(flow.size) + flow.forward
    assert flow.backward is not None
    home = (flow.forward + sample(flow.backward, place)).norm(dim=1)
    limit = torch.tensor([flow.size[1] - 1.0, flow.size[0] - 1.0])[:, None, None]
    inside = ((place >= 0) & (place <= limit)).all(1)
    if flow.hidden is not None:
        inside &= ~flow.hidden
    misses: Tensor = home[inside]
    return misses


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("translate", {"x": 1.5, "y": -0.4}),
        ("zoom", {"rate": 0.03}),
        ("rotate", {"degrees": 4.0}),
        ("shear", {"x": 0.1}),
        ("swirl", {"degrees": 12.0}),
    ],
)
def test_fields_and_their_inverses(name: str, settings: dict[str, float]) -> None:
    flow = field(name, (24, 32), 3, **settings)
    assert len(flow) == 2 and flow.size == (24, 32)
    # linear maps are inverted exactly by bilinear sampling; the swirl up to its curvature
    assert float(returns(flow).max()) < (0.1 if name == "swirl" else 1e-4)
    assert float(flow.forward.abs().max()) > 0.3


def test_rotation_turns_clockwise_on_the_screen() -> None:
    flow = field("rotate", (21, 21), 2, degrees=90.0)
    assert torch.allclose(flow.forward[0, :, 10, 20], torch.tensor([-10.0, 10.0]), atol=1e-4)  # from the right to below


@pytest.mark.parametrize("method", ["dis", "torch"])
@pytest.mark.parametrize("motion", ["translate", "zoom"])
def test_estimated_flow_is_the_flow(method: str, motion: str) -> None:
    if method == "dis":
        pytest.importorskip("cv2")
    size = 96
    asked = field(motion, (size, size), 2, **({"x": 2.3, "y": -1.2} if motion == "translate" else {"rate": 0.04}))
    assert asked.backward is not None
    first = texture(size)
    second = sample(first[None], grid((size, size)) + asked.backward)[0]
    found = METHODS[method]()(first, second)
    error = (found - asked.forward[0])[:, 12:-12, 12:-12].norm(dim=0)
    assert float(error.mean()) < 0.25


def test_flow_of_a_clip_marks_what_is_covered() -> None:
    pytest.importorskip("cv2")
    ground, thing = texture(128, 1), texture(128, 2)
    frames = []
    for t in range(3):
        frame = ground.clone()
        frame[:, 32:80, 32 + 6 * t : 80 + 6 * t] = thing[:, :48, :48]
        frames.append(frame)
    flow = estimate(torch.stack(frames), "dis")
    assert flow.hidden is not None and flow.revealed is not None
    assert float(flow.hidden[0, 40:72, 80:86].float().mean()) > 0.4  # ahead of the edge
    assert float(flow.hidden[0, 40:72, 40:74].float().mean()) < 0.1
    assert float(flow.revealed[0, 40:72, 32:38].float().mean()) > 0.4  # what it leaves behind
    still = torch.zeros(1, 2, 8, 8)
    assert not bool(unmatched(still, still).any()) and bool(unmatched(still, still + 3).all())


def test_a_dragged_layer_goes_where_it_is_dragged() -> None:
    size = (32, 48)
    mask = polygon([[4, 4], [12, 4], [12, 12], [4, 12]], size)
    assert int(mask.sum()) == 64
    layer = Layer(mask, [Keyframe(0), Keyframe(1, x=18, y=6)], z=1)
    flow = drag([layer], 7)
    assert flow.hidden is not None and flow.revealed is not None
    for t in range(6):
        x, y = 5 + 3 * t, 5 + t
        assert torch.allclose(flow.forward[t, :, y, x], torch.tensor([3.0, 1.0]), atol=1e-5)
        assert torch.equal(flow.forward[t, :, 30, 40], torch.zeros(2))
    # what the step covers ahead and uncovers behind: an L of 8 x 8 + 8 x 8 - 7 x 5 pixels
    assert int(flow.hidden[0].sum()) == int(flow.revealed[0].sum()) == 64 - 7 * 5
    assert float(returns(flow).median()) < 1e-5


def test_layers_in_front_cover_those_behind() -> None:
    size = (16, 40)
    far = Layer(polygon([[2, 4], [10, 4], [10, 12], [2, 12]], size), [Keyframe(0), Keyframe(1, x=20)], z=0)
    near = Layer(polygon([[18, 2], [26, 2], [26, 14], [18, 14]], size), [Keyframe(0)], z=1)
    flow = drag([far, near], 5)
    assert torch.equal(flow.forward[2, :, 8, 20], torch.zeros(2))  # the near one stands still over the far one
    swapped = drag([Layer(far.mask, far.keyframes, z=2), near], 5)
    assert torch.allclose(swapped.forward[3, :, 8, 20], torch.tensor([5.0, 0.0]), atol=1e-5)
    picture = torch.zeros(3, *size)
    picture[0, far.mask], picture[1, near.mask] = 1.0, 1.0
    film = composite(picture, [far, near], 5)
    assert float(film[4, 0, 8, 26:30].min()) > 0.9 and float(film[4, 1, 8, 20]) > 0.9 and float(film[4, 0, 8, 4]) < 0.5


def test_turned_and_scaled_layers_follow_their_affine_map() -> None:
    size = (40, 40)
    layer = Layer(polygon([[10, 10], [30, 10], [30, 30], [10, 30]], size), [Keyframe(0), Keyframe(1, scale=1.5, degrees=30)])
    start, end = layer.place(0.0), layer.place(1.0)
    assert torch.allclose(start, torch.eye(2, 3, dtype=torch.float64), atol=1e-12)
    assert float(torch.linalg.det(end[:, :2])) == pytest.approx(2.25)
    centre = torch.tensor([19.5, 19.5], dtype=torch.float64)
    assert torch.allclose(end[:, :2] @ centre + end[:, 2], centre)
    eased = Layer(layer.mask, layer.keyframes, ease=1.0)
    assert torch.allclose(eased.place(0.5), layer.place(0.5)) and not torch.allclose(eased.place(0.25), layer.place(0.25))


def test_a_sideways_camera_moves_points_by_focal_length_over_depth() -> None:
    depth = torch.full((32, 48), 4.0)
    flow = camera(depth, [Pose(0), Pose(1, x=0.5)], 2, fov=90.0)
    assert torch.allclose(flow.forward[0, 0], torch.full((32, 48), -24 / 4.0 * 0.5), atol=1e-4)
    assert float(flow.forward[0, 1].abs().max()) < 1e-4
    forward = camera(depth, [Pose(0), Pose(1, z=1.0)], 2, fov=90.0).forward[0]
    assert torch.allclose(forward[0, :, 47], torch.full((32,), 23.5 * (4 / 3 - 1)), atol=1e-4)


def test_a_pan_does_not_depend_on_depth_and_orbit_keeps_the_pivot() -> None:
    near, far = torch.full((20, 20), 1.0), torch.full((20, 20), 50.0)
    pans = [camera(d, [Pose(0), Pose(1, pan=10.0)], 2).forward for d in (near, far)]
    assert torch.allclose(pans[0], pans[1], atol=1e-3)
    focal = 10 / math.tan(math.radians(30))
    assert float(pans[0][0, 0, 10, 10]) == pytest.approx(-focal * math.tan(math.radians(10)), abs=0.2)
    orbit = camera(torch.full((21, 21), 3.0), [Pose(0), Pose(1, orbit=20.0)], 2)
    assert float(orbit.forward[0, :, 10, 10].abs().max()) < 1e-4


def test_near_things_cover_far_ones_when_the_camera_moves() -> None:
    depth = torch.full((24, 48), 8.0)
    depth[8:16, 20:28] = 2.0
    flow = camera(depth, [Pose(0), Pose(1, x=0.5)], 2, fov=90.0)
    assert flow.hidden is not None and flow.revealed is not None
    shift = 24 / 2 * 0.5  # the block moves 6 pixels to the left, the ground 1.5
    assert float(flow.forward[0, 0, 12, 24]) == pytest.approx(-shift, abs=1e-3)
    assert bool(flow.hidden[0, 10:14, 17:19].all()) and not bool(flow.hidden[0, :, 32:].any())
    assert bool(flow.revealed[0, 10:14, 23:25].all())


def test_arrows_are_followed_and_the_border_stays() -> None:
    flow = arrows([Arrow(20, 20, 32, 26)], (48, 64), 7)
    place = torch.tensor([20.0, 20.0])
    for t in range(6):
        x, y = place.round().long().tolist()
        place = place + flow.forward[t, :, y, x]
    assert torch.allclose(place, torch.tensor([32.0, 26.0]), atol=0.6)
    assert float(flow.forward[:, :, 0, 0].abs().max()) < 1e-3
    # two arrows that say "turn and grow" about a point give the affine field, exactly
    corners = [[10.0, 10.0], [50.0, 10.0], [30.0, 40.0]]
    matrix = torch.tensor([[1.1, -0.05], [0.05, 1.1]])
    given = []
    for x, y in corners:
        to = matrix @ torch.tensor([x - 30.0, y - 20.0]) + torch.tensor([30.0, 20.0])
        given.append(Arrow(x, y, float(to[0]), float(to[1])))
    affine = arrows(given, (48, 64), 2, pinned=[])
    expected = torch.einsum("ij,jhw->ihw", matrix - torch.eye(2), grid((48, 64)) - torch.tensor([30.0, 20.0])[:, None, None])
    assert torch.allclose(affine.forward[0], expected, atol=1e-3)


def test_arrows_in_a_mask_move_nothing_else() -> None:
    moving = torch.zeros(32, 32, dtype=torch.bool)
    moving[8:20, 8:20] = True
    flow = arrows([Arrow(12, 12, 18, 12)], (32, 32), 4, moving=moving)
    assert float(flow.forward[0, :, ~moving].abs().max()) == 0
    assert float(flow.forward[0, 0, 12, 12]) == pytest.approx(2.0, abs=1e-3)


CASES: list[tuple[str, Callable[[], Any]]] = [
    ("there are translate", lambda: field("spin", (8, 8), 3)),
    ("settings \\['speed'\\]", lambda: field("zoom", (8, 8), 3, speed=1.0)),
    ("over 1 frames", lambda: field("zoom", (8, 8), 1)),
    ("2 corners", lambda: polygon([[0, 0], [1, 1]], (8, 8))),
    ("no pixel", lambda: polygon([[50, 50], [60, 50], [60, 60]], (8, 8))),
    ("keyframe times", lambda: Layer(torch.ones(4, 4, dtype=torch.bool), [Keyframe(1), Keyframe(0)])),
    ("mask is empty", lambda: Layer(torch.zeros(4, 4, dtype=torch.bool), [Keyframe(0)])),
    ("positive and finite", lambda: camera(torch.zeros(4, 4), [Pose(0)], 2)),
    ("fov is 200", lambda: camera(torch.ones(4, 4), [Pose(0)], 2, fov=200)),
    ("outside the frame", lambda: arrows([Arrow(90, 0, 0, 0)], (8, 8), 2)),
    ("share one place", lambda: arrows([Arrow(1, 1, 2, 2), Arrow(1, 1, 3, 3)], (8, 8), 2)),
    ("flow method 'x'", lambda: estimate(torch.zeros(2, 3, 16, 16), "x")),
    ("motion of a clip", lambda: estimate(torch.zeros(1, 3, 16, 16))),
]


@pytest.mark.parametrize(("message", "call"), CASES, ids=[m for m, _ in CASES])
def test_bad_input_is_named(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_lucas_kanade_of_nothing_is_nothing() -> None:
    flat = torch.full((3, 32, 32), 0.5)
    assert float(lucas_kanade(flat, flat).abs().max()) == 0
