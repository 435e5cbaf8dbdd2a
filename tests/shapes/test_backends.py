"""Other programs' renderers: what is said where they are missing, and what gsplat is handed where it is there."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore.errors import InputError, MissingExtraError
from polyscore.shapes.render import Orthographic, Perspective, Splats, splat
from polyscore.shapes.render.backends import gsplat, pytorch3d


def scene() -> Splats:
    generator = torch.Generator().manual_seed(0)
    at = torch.rand(30, 3, generator=generator) - 0.5
    return Splats.of_points(at, torch.rand(30, 3, generator=generator), radius=0.08, opacity=0.7)


def missing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for known in [known for known in sys.modules if known.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, known)

    def find(wanted: str, *_: object) -> None:
        if wanted.partition(".")[0] == name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [type("Finder", (), {"find_spec": staticmethod(find)}), *sys.meta_path])


def test_what_is_missing_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, triangle = Perspective.orbit(0.0, 0.0), (torch.eye(3), torch.tensor([[0, 1, 2]]))
    missing(monkeypatch, "pytorch3d")
    for draw in (pytorch3d.rasterise, pytorch3d.silhouette):
        with pytest.raises(MissingExtraError, match=r"package pytorch3d: pip install .*github\.com/facebookresearch/pytorch3d"):
            draw(*triangle, camera, 8)
    missing(monkeypatch, "gsplat")
    with pytest.raises(MissingExtraError, match="package gsplat: pip install gsplat"):
        gsplat.splat(scene(), camera, 8)


def test_gsplat_without_a_device_names_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", ModuleType("gsplat"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingExtraError, match=r"needs a CUDA device.*polyscore\.shapes\.render\.splat runs on any"):
        gsplat.splat(scene(), Perspective.orbit(0.0, 0.0), 8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(InputError, match="splats on cpu, expected a CUDA device"):
        gsplat.splat(scene(), Perspective.orbit(0.0, 0.0), 8)


class _Elsewhere(Splats):
    """Splats that say they are on a CUDA device."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return _Means(value) if name == "means" else value


class _Means(Tensor):
    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda")


@pytest.mark.parametrize("kind", [Perspective, Orthographic])
def test_gsplat_is_handed_our_camera_in_its_convention(
    kind: type[Perspective] | type[Orthographic], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in projects the means by K [R | t], as its documentation says, and looks where they land."""
    some, camera, size = scene(), kind.orbit(torch.tensor([20.0, 130.0]), 15.0), (24, 40)

    def rasterization(
        means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor, Ks: Tensor,
        width: int, height: int, *, near_plane: float, packed: bool, render_mode: str, camera_model: str,
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:  # fmt: skip
        assert (width, height, render_mode, packed, near_plane) == (40, 24, "RGB+D", False, 0.01)
        assert torch.equal(quats, some.turns)
        assert torch.equal(scales, some.scales)
        assert torch.equal(opacities, some.opacities)
        assert torch.equal(colors, some.colours)
        assert camera_model == {Perspective: "pinhole", Orthographic: "ortho"}[kind]
        at = torch.Tensor(means) @ viewmats[:, :3, :3].mT + viewmats[:, None, :3, 3]
        over = at[..., 2:] if camera_model == "pinhole" else torch.ones_like(at[..., 2:])
        landed = torch.cat([at[..., :2] / over, torch.ones_like(over)], -1) @ Ks.mT
        seen = camera.project(torch.Tensor(some.means), size)
        torch.testing.assert_close(landed[..., :2], seen.xy, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(at[..., 2], seen.depth)
        pictures = splat(some, camera, size)
        return torch.cat([pictures.colour, pictures.depth[..., None]], -1), pictures.coverage[..., None], {}

    module = ModuleType("gsplat")
    module.rasterization = rasterization  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gsplat", module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found, ours = gsplat.splat(_Elsewhere(**vars(some)), camera, size), splat(some, camera, size)
    for one, other in zip(found, ours, strict=True):
        assert torch.equal(one, other)
