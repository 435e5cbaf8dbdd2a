"""Scores of clips whose motion, errors and flicker are known."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import InputError, MissingExtraError
from polyscore.evaluation import frechet
from polyscore.noise import Flow
from polyscore.video.families import FAMILIES
from polyscore.video.latents import latent_noise
from polyscore.video.metrics import RandomFeatures, flicker, followed, path_error, warp_error
from polyscore.video.metrics.published import cd_fvd
from polyscore.video.motion import field
from polyscore.video.motion.files import read_flow, write_flow
from polyscore.video.motion.frames import grid, sample
from polyscore.video.noise_files import read_noise, write_noise
from polyscore.video.whiteness import battery


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    noise = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    smooth = F.avg_pool2d(F.pad(noise, (2, 2, 2, 2), mode="circular"), 5, 1)[0]
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def sliding(x: float, y: float, frames: int = 4, size: tuple[int, int] = (48, 64), seed: int = 0) -> Tensor:
    """A window that looks at a large texture, so that everything moves by (x, y) a frame."""
    large, here = texture(size[0] + 40, size[1] + 40, seed), grid(size) + 20
    places = torch.stack([here - torch.tensor([x, y])[:, None, None] * t for t in range(frames)])
    return sample(large.expand(frames, -1, -1, -1), places)


def translation(x: float, y: float, frames: int = 4, size: tuple[int, int] = (48, 64)) -> Flow:
    return field("translate", size, frames, x=x, y=y)


def test_a_clip_that_moves_as_asked_and_one_that_does_not() -> None:
    film = sliding(1.5, -0.75)
    good = followed(film, translation(1.5, -0.75), method="torch")
    assert good.error < 0.2 and good.moving == pytest.approx(good.error, abs=1e-6)
    assert good.nothing == pytest.approx(math.hypot(1.5, 0.75), abs=1e-4)
    assert good.speed == pytest.approx(math.hypot(1.5, 0.75), abs=0.15) and good.judged > 0.7
    other = followed(film, translation(-1.5, 0.75), method="torch")
    assert other.error == pytest.approx(2 * math.hypot(1.5, 0.75), abs=0.2)
    still = followed(sliding(0.0, 0.0), translation(1.5, -0.75), method="torch")
    assert still.moving == pytest.approx(still.nothing, abs=0.05)
    turning = field("rotate", (48, 64), 4, degrees=2.0)
    assert turning.backward is not None
    back = [grid((48, 64))]
    for _ in range(3):
        back.append(back[-1] + sample(turning.backward[:1], back[-1][None])[0])
    spun = sample(texture(48, 64).expand(4, -1, -1, -1), torch.stack(back))
    assert followed(spun, turning, method="torch").correlation > 0.95


def test_motion_is_judged_where_it_can_be_seen_and_at_any_size() -> None:
    film = sliding(2.0, 0.0)
    film[:, :, 24:] = 0.5  # plain below: nothing to be seen
    scores = followed(film, translation(2.0, 0.0), method="torch")
    assert 0.3 < scores.judged < 0.6 and scores.error < 0.4
    plain = followed(torch.full((4, 3, 48, 64), 0.5), translation(2.0, 0.0), method="torch")
    assert plain.judged == 0 and math.isnan(plain.error) and math.isnan(plain.correlation)
    large = followed(sliding(2.0, 0.0), translation(4.0, 0.0, size=(96, 128)), method="torch")
    assert large.nothing == pytest.approx(2.0, abs=1e-3) and large.error < 0.2


def test_hidden_pixels_are_not_judged() -> None:
    flow = translation(1.0, 0.0)
    hidden = torch.zeros(3, 48, 64, dtype=torch.bool)
    hidden[:, :, 10:] = True
    seen = followed(sliding(1.0, 0.0), Flow(flow.forward, flow.backward, hidden), method="torch")
    assert seen.judged <= 10 / 64


def test_the_path_of_a_square() -> None:
    film = torch.zeros(6, 3, 32, 40)
    path = torch.stack([torch.tensor([8.5 + 3 * t, 12.5 + t]) for t in range(6)])
    for t in range(6):
        film[t, :, 10 + t : 16 + t, 6 + 3 * t : 12 + 3 * t] = 1.0
    assert max(path_error(film, path)) < 1e-5
    speed, place = path_error(film, path[:1].expand(6, 2))
    assert speed == pytest.approx(math.hypot(3, 1), abs=1e-4) and place == pytest.approx(2.5 * math.hypot(3, 1), abs=1e-4)


def test_warp_error_is_what_changes_along_the_motion() -> None:
    film = sliding(2.0, -1.0)
    assert warp_error(film, translation(2.0, -1.0)) < 1e-5
    still = translation(0.0, 0.0)
    assert warp_error(film, still) == pytest.approx(float((film[1:] - film[:-1]).abs().mean()), rel=1e-5)
    brighter = torch.full((3, 3, 16, 16), 0.2)
    brighter[1] += 0.1
    zero = Flow(torch.zeros(2, 2, 16, 16))
    assert warp_error(brighter, zero) == pytest.approx(0.1, abs=1e-6)
    brighter[:, :, :8] = 0.7
    upper = torch.zeros(2, 16, 16, dtype=torch.bool)
    upper[:, 8:] = True
    assert warp_error(brighter, Flow(zero.forward, None, upper)) == pytest.approx(0, abs=1e-6)
    assert math.isnan(warp_error(brighter, Flow(zero.forward, None, torch.ones(2, 16, 16, dtype=torch.bool))))


def test_flicker_is_what_goes_back_and_forth() -> None:
    film = sliding(1.0, 1.0, frames=7) * 0.5 + 0.2
    flow = translation(1.0, 1.0, frames=7)
    assert flicker(film, flow) < 1e-5
    turns = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0]).view(7, 1, 1, 1)
    assert flicker(film + 0.06 * turns, flow) == pytest.approx(0.06, abs=1e-4)
    fade = torch.linspace(0, 0.1, 7).view(7, 1, 1, 1)
    assert flicker(film + fade, flow) < 1e-5


def test_frechet_of_normal_laws() -> None:
    x = torch.randn(400, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shift = torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0], dtype=torch.float64)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, x + shift) == pytest.approx(float(shift.square().sum()))
    scale = torch.tensor([1.0, 2.0, 3.0, 0.5, 0.0], dtype=torch.float64)
    white = torch.linalg.qr(x - x.mean(0)).Q * math.sqrt(399)  # covariance exactly 1
    assert frechet(white, white * scale) == pytest.approx(float((1 - scale).square().sum()))
    turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    assert frechet(x @ turn, x * 2 @ turn) == pytest.approx(frechet(x, x * 2))
    with pytest.raises(InputError, match="of one width"):
        frechet(x, x[:, :3])


def test_random_features_tell_motions_apart() -> None:
    encoder = RandomFeatures()

    def features(speed: float, seeds: range) -> Tensor:
        return torch.stack([encoder(sliding(speed, 0.0, frames=6, size=(32, 32), seed=seed)) for seed in seeds])

    slow, again, fast = features(0.2, range(12)), features(0.2, range(12, 24)), features(3.0, range(12, 24))
    assert frechet(slow, fast) > 3 * frechet(slow, again)
    assert torch.equal(RandomFeatures()(sliding(1, 0)), encoder(sliding(1, 0))) and encoder.name == "random_conv3d_64"
    assert not torch.allclose(RandomFeatures(seed=1)(sliding(1, 0)), encoder(sliding(1, 0)))
    assert torch.allclose(encoder(sliding(1, 0).flip(0)), encoder(sliding(1, 0)), atol=0.2)  # means over time


def test_the_published_distance_is_asked_with_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    films = [torch.rand(10, 3, 20, 24, generator=torch.Generator().manual_seed(k)) for k in range(3)]
    monkeypatch.setitem(sys.modules, "cdfvd", None)
    with pytest.raises(MissingExtraError, match="pip install cd-fvd"):
        cd_fvd(films[:2], films[1:])
    seen: list[Any] = []

    class Scorer:
        def __init__(self, name: str, **settings: Any) -> None:
            seen.append(name)

        def compute_fvd(self, real: np.ndarray[Any, Any], made: np.ndarray[Any, Any]) -> float:
            seen.extend([real, made])
            return 12.5

    package, module = ModuleType("cdfvd"), ModuleType("cdfvd.fvd")
    module.cdfvd = Scorer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cdfvd", package)
    monkeypatch.setitem(sys.modules, "cdfvd.fvd", module)
    assert cd_fvd(films[:2], films, "i3d") == 12.5
    assert seen[0] == "i3d" and seen[1].shape == (2, 10, 224, 224, 3) and seen[2].dtype == np.uint8
    assert float(seen[1][0].mean()) == pytest.approx(255 * float(films[0].mean()), abs=1)


def test_flow_goes_out_and_comes_back(tmp_path: Path) -> None:
    flow = field("swirl", (24, 32), 4)
    masked = Flow(flow.forward, flow.backward, flow.forward[:, 0] > 0, flow.forward[:, 0] < 0)
    for one in (masked, Flow(flow.forward)):
        write_flow(tmp_path / "flow.npz", one)
        back = read_flow(tmp_path / "flow.npz")
        for name in ("forward", "backward", "hidden", "revealed"):
            left, right = getattr(one, name), getattr(back, name)
            assert (left is None and right is None) or torch.equal(left, right)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_noise_goes_out_and_comes_back(tmp_path: Path, name: str) -> None:
    family, flow = FAMILIES[name], field("zoom", (64, 96), 9)
    noise = latent_noise(flow, family, batch=2)
    write_noise(tmp_path / "n.safetensors", noise, family, frames=9, size=(64, 96), notes={"seed": "0"})
    back = read_noise(tmp_path / "n.safetensors")
    assert torch.equal(back.frames[1], family.frames_of(noise[1], (64, 96))) and back.notes["family"] == name


def test_the_battery_corrects_for_the_number_of_frames() -> None:
    white = torch.randn(30, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    assert max(abs(z) for z in battery(white).values()) < 3.5
    white[17] += 0.3
    assert battery(white)["mean"] > 8


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


BAD: dict[str, Callable[[Path], Any]] = {
    "no such file": lambda p: read_flow(p / "none.npz"),
    "cannot be read as a flow": lambda p: read_flow((p / "x.npz", (p / "x.npz").write_bytes(b"PK\x03\x04 no zip"))[0]),
    "no array forward": lambda p: read_flow(npz(p / "x.npz", other=np.zeros(3))),
    "not finite": lambda p: read_flow(npz(p / "x.npz", forward=np.full((1, 2, 8, 8), np.nan))),
    "expected \\(frames - 1, 2": lambda p: read_flow(npz(p / "x.npz", forward=np.zeros((2, 8, 8)))),
    "expected numbers": lambda p: read_flow(npz(p / "x.npz", forward=np.array(["a"]))),
    "it holds Python objects": lambda p: read_flow(npz(p / "x.npz", forward=np.array([{}], dtype=object))),
    "expected noise": lambda p: read_noise(p / "none.safetensors"),
    "no noise file": lambda p: read_noise((p / "x.safetensors", (p / "x.safetensors").write_bytes(b"\0" * 40))[0]),
    "3 frames and the motion is for 4": lambda p: followed(sliding(1, 0, frames=3), translation(1, 0)),
    "expected 3 or more": lambda p: flicker(torch.zeros(2, 3, 32, 32)),
    "the same frames and size": lambda p: warp_error(torch.zeros(4, 3, 32, 32), translation(1, 0)),
    "3 frames or more": lambda p: RandomFeatures()(torch.zeros(2, 3, 8, 8)),
    "there are videomae, i3d": lambda p: cd_fvd([], [], "resnet"),
    "all of one length": lambda p: cd_fvd([torch.zeros(9, 3, 8, 8)] * 2, [torch.zeros(9, 3, 8, 8)] * 2),
}


@pytest.mark.parametrize("message", list(BAD))
def test_bad_input_is_named(tmp_path: Path, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BAD[message](tmp_path)
