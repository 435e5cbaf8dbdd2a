"""A scene: a picture (or none), a number of frames, and a motion, as one YAML file.

    image: photo.png          # optional; else size: [height, width]
    frames: 49
    motion:
      kind: drag              # drag, camera, transfer, arrows or field
      layers:
        - polygon: [[120, 80], [300, 80], [300, 260], [120, 260]]     # or mask: part.png
          keyframes: [{time: 0}, {time: 1, x: 90, y: -20, scale: 1.2, degrees: 15}]
          z: 1
          ease: 1

Coordinates are pixels of the picture. Files are looked for beside the scene. `docs/domains/video.md` lists every key.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import InputError, MissingExtraError, PolyscoreError
from polyscore.films import read_film
from polyscore.hub.numpy_files import read_numpy
from polyscore.noise import Flow, resize_flow
from polyscore.video.motion import Arrow, Keyframe, Layer, Pose, arrows, camera, composite, drag, estimate, field, polygon
from polyscore.video.motion.frames import grid, sample

__all__ = ["Scene", "load_scene", "picture", "scene_of", "transfer"]

_LARGEST = 1_000_000  # bytes of a scene file
_HALVED = 384  # pixels of the shorter side from which flow is estimated at half size


@dataclass(frozen=True)
class Scene:
    """What is asked for.

    Attributes:
        flow: motion of `frames` frames.
        image: the first frame (3, H, W) in [0, 1], if there is one.
        film: (T, 3, H, W), what the motion alone makes of the picture, of a chessboard without one; or the reference clip.
        kind: drag, camera, transfer, arrows or field.
        arrows: the arrows that were given, (x, y, to_x, to_y).
        paths: (K, T, 2), where the centre (x, y) of every dragged layer is in every frame; None for other motions.
    """

    flow: Flow
    image: Tensor | None = None
    film: Tensor | None = None
    kind: str = "field"
    arrows: tuple[tuple[float, float, float, float], ...] = ()
    paths: Tensor | None = None

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.flow) + 1

    def resized(self, size: tuple[int, int]) -> Scene:
        """The same scene on frames of `size` (H, W)."""

        def pixels(x: Tensor | None) -> Tensor | None:
            if x is None:
                return None
            batch = x if x.ndim == 4 else x[None]
            out = F.interpolate(batch, size, mode="bilinear", align_corners=False, antialias=True)
            return out if x.ndim == 4 else out[0]

        sx, sy = size[1] / self.flow.size[1], size[0] / self.flow.size[0]
        moved = tuple((a * sx, b * sy, c * sx, d * sy) for a, b, c, d in self.arrows)
        scale = torch.tensor([sx, sy])
        paths = None if self.paths is None else (self.paths + 0.5) * scale - 0.5
        return Scene(resize_flow(self.flow, size), pixels(self.image), pixels(self.film), self.kind, moved, paths)


def load_scene(path: str | Path) -> Scene:
    """Read a scene file.

    Raises:
        InputError: no such file, not YAML, an unknown key or value, a picture that is not there; the key is named.
        MissingExtraError: a library the scene needs is not installed.
    """
    name = Path(path)
    if not name.is_file():
        raise InputError(f"{name}: no such file; expected a scene (YAML)")
    if name.stat().st_size > _LARGEST:
        raise InputError(f"{name}: {name.stat().st_size} bytes; a scene has at most {_LARGEST}")
    import yaml

    try:
        data = yaml.safe_load(name.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{name}: not readable as YAML ({first})") from error
    try:
        return scene_of(_mapping(data, "the scene"), name.parent)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def transfer(frames: np.ndarray[Any, Any], method: str = "auto", size: tuple[int, int] | None = None) -> Scene:
    """The motion of a reference clip (T, H, W, 3) of bytes, first brought to `size` (H, W) by covering and cropping.

    The flow of clips whose shorter side has 384 pixels or more is estimated at half their size, as Go-with-the-Flow does.
    """
    film = torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, 1).float() / 255
    if size is not None:
        film = cover(film, size)
    height, width = film.shape[2:]
    seen = F.avg_pool2d(film, 2) if min(height, width) >= _HALVED else film
    return Scene(resize_flow(estimate(seen, method), (height, width)), film[0], film, "transfer")


def cover(film: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames (T, 3, H, W) scaled until they cover `size`, and cropped about the middle."""
    height, width = film.shape[2:]
    scale = max(size[0] / height, size[1] / width)
    inner = (max(size[0], round(height * scale)), max(size[1], round(width * scale)))
    film = F.interpolate(film, inner, mode="bilinear", align_corners=False, antialias=True)
    top, left = (inner[0] - size[0]) // 2, (inner[1] - size[1]) // 2
    return film[:, :, top : top + size[0], left : left + size[1]].contiguous()


def picture(path: Path) -> Tensor:
    """A picture file as (3, H, W) in [0, 1]; transparent parts on black.

    Raises:
        InputError: no such file, or not a picture of a sane size.
        MissingExtraError: Pillow is not installed.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such picture")
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("pictures need Pillow: pip install 'polyscore[video]'") from error
    try:
        with Image.open(path) as file:
            if max(file.size) > 8192:
                raise InputError(f"{path}: {file.size[0]} x {file.size[1]} pixels; expected at most 8192 a side")
            array = np.asarray(file.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read as a picture ({error})") from error
    return torch.from_numpy(array.copy()).movedim(-1, 0).float() / 255


def scene_of(data: Mapping[str, Any], folder: Path) -> Scene:
    """The scene of the content of a scene file, whose names of files are looked for in `folder`.

    Raises:
        InputError, MissingExtraError: as `load_scene`.
    """
    _keys(data, {"image", "size", "frames", "motion"}, "the scene")
    _check_numbers(data, "", set())
    motion = dict(_mapping(data.get("motion"), "motion"))
    kind = motion.pop("kind", None)
    if kind not in _KINDS:
        raise InputError(f"motion.kind is {kind!r}; expected one of {', '.join(_KINDS)}")
    image = None if data.get("image") is None else picture(folder / str(data["image"]))
    frames = data.get("frames")
    if kind != "transfer" and (not isinstance(frames, int) or not 2 <= frames <= 1000):
        raise InputError(f"frames is {frames!r}; expected a whole number from 2 to 1000")
    size = data.get("size")
    if size is not None:
        if not (isinstance(size, list) and len(size) == 2 and all(isinstance(n, int) and 8 <= n <= 4096 for n in size)):
            raise InputError(f"size is {size!r}; expected [height, width], each from 8 to 4096")
        size = (size[0], size[1])
        if image is not None and tuple(image.shape[1:]) != size:
            raise InputError(f"size is {list(size)} but the picture has {list(image.shape[1:])}; leave size out")
    elif image is not None:
        size = (image.shape[1], image.shape[2])
    elif kind != "transfer":
        raise InputError("the scene has neither image nor size; give one of them")
    try:
        return _KINDS[kind](motion, image, size, frames, folder)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, PolyscoreError):
            raise
        raise InputError(f"motion: a value is of the wrong kind ({error}); docs/domains/video.md lists them") from error


def _drag(motion: dict[str, Any], image: Tensor | None, size: tuple[int, int], frames: int, folder: Path) -> Scene:
    _keys(motion, {"layers", "ground"}, "motion")
    layers = [_layer(entry, size, folder, f"motion.layers[{k}]") for k, entry in enumerate(_list(motion, "layers"))]
    ground = None
    if motion.get("ground") is not None:
        everything = torch.ones(size, dtype=torch.bool)
        ground = Layer(everything, _keyframes(_mapping(motion["ground"], "motion.ground"), "motion.ground"))
    film = composite(_shown(image, size), layers, frames, ground=ground)
    paths = torch.stack([layer.path(frames) for layer in layers])
    shown = tuple((*path[0].tolist(), *path[-1].tolist()) for path in paths)
    return Scene(drag(layers, frames, ground=ground), image, film, "drag", shown, paths)


def _layer(entry: Any, size: tuple[int, int], folder: Path, where: str) -> Layer:
    entry = _mapping(entry, where)
    _keys(entry, {"polygon", "mask", "keyframes", "z", "ease"}, where)
    if (entry.get("polygon") is None) == (entry.get("mask") is None):
        raise InputError(f"{where}: expected either polygon or mask")
    if entry.get("polygon") is not None:
        mask = polygon(entry["polygon"], size)
    else:
        mask = picture(folder / str(entry["mask"])).mean(0) > 0.5
        if tuple(mask.shape) != size:
            raise InputError(f"{where}.mask has {list(mask.shape)} pixels; the frame has {list(size)}")
    return Layer(mask, _keyframes(entry, where), z=float(entry.get("z", 0.0)), ease=float(entry.get("ease", 0.0)))


def _keyframes(entry: Mapping[str, Any], where: str) -> list[Keyframe]:
    keys = _list(entry, "keyframes", where)
    return [_record(Keyframe, key, f"{where}.keyframes[{k}]") for k, key in enumerate(keys)]


def _camera(motion: dict[str, Any], image: Tensor | None, size: tuple[int, int], frames: int, folder: Path) -> Scene:
    _keys(motion, {"depth", "disparity", "poses", "fov"}, "motion")
    depth = _depth(motion, size, folder)
    poses = [_record(Pose, entry, f"motion.poses[{k}]") for k, entry in enumerate(_list(motion, "poses"))]
    flow = camera(depth, poses, frames, fov=float(motion.get("fov", 60.0)))
    return Scene(flow, image, follow(_shown(image, size), flow), "camera")


def _depth(motion: Mapping[str, Any], size: tuple[int, int], folder: Path) -> Tensor:
    given = [key for key in ("depth", "disparity") if motion.get(key) is not None]
    if len(given) != 1:
        raise InputError("motion: expected either depth or disparity (a number, or a .npy or .npz file)")
    value = motion[given[0]]
    if isinstance(value, int | float):
        if given[0] == "disparity" or value <= 0:
            raise InputError(f"motion.{given[0]} is {value}; expected a file, or a positive depth for a flat scene")
        return torch.full(size, float(value))
    path = folder / str(value)
    if not path.is_file():
        raise InputError(f"motion.{given[0]}: {path}: no such file")
    try:
        array = next(iter(read_numpy(path).values()), np.zeros(0))
    except (OSError, ValueError) as error:
        raise InputError(f"motion.{given[0]}: {path} cannot be read as an array ({error})") from error
    if array.shape != size:
        raise InputError(f"motion.{given[0]} has shape {array.shape}; the frame has {size}")
    field_ = torch.from_numpy(np.asarray(array, dtype=np.float64))
    good = torch.isfinite(field_) & (field_ > 0)
    if not bool(good.any()):
        raise InputError(f"motion.{given[0]} holds no positive number")
    if given[0] == "disparity":  # depth in units of the median
        field_ = field_[good].median() / torch.where(good, field_, field_[good].min())
        return field_
    return torch.where(good, field_, field_[good].max())


def follow(image: Tensor, flow: Flow) -> Tensor:
    """The crude film: each frame drawn from the one before along the backward flow, whatever is revealed."""
    film, here = [image], grid(flow.size)
    for t in range(len(flow)):
        back = -flow.forward[t] if flow.backward is None else flow.backward[t]
        film.append(sample(film[-1][None], (here + back)[None])[0])
    return torch.stack(film)


def _shown(image: Tensor | None, size: tuple[int, int]) -> Tensor:
    """The picture, or a chessboard on which motion is seen."""
    if image is not None:
        return image
    side = max(2, min(size) // 8)
    board = (torch.arange(size[0])[:, None] // side + torch.arange(size[1]) // side) % 2
    return (0.3 + 0.4 * board).expand(3, -1, -1)


def _transfer(
    motion: dict[str, Any], image: Tensor | None, size: tuple[int, int] | None, frames: int | None, folder: Path
) -> Scene:
    _keys(motion, {"video", "method"}, "motion")
    if not motion.get("video"):
        raise InputError("motion.video is missing; expected the name of a reference clip")
    film, _ = read_film(folder / str(motion["video"]), frames=frames)
    scene = transfer(film, str(motion.get("method", "auto")), size)
    return scene if image is None else Scene(scene.flow, image, follow(image, scene.flow), "transfer")


def _arrows(motion: dict[str, Any], image: Tensor | None, size: tuple[int, int], frames: int, folder: Path) -> Scene:
    _keys(motion, {"arrows", "pinned", "moving", "smooth"}, "motion")
    given = []
    for k, entry in enumerate(_list(motion, "arrows")):
        if not (isinstance(entry, list) and len(entry) == 4 and all(isinstance(n, int | float) for n in entry)):
            raise InputError(f"motion.arrows[{k}] is {entry!r}; expected [x, y, to_x, to_y]")
        given.append(Arrow(*(float(n) for n in entry)))
    moving = None if motion.get("moving") is None else polygon(motion["moving"], size)
    flow = arrows(given, size, frames, pinned=motion.get("pinned"), moving=moving, smooth=float(motion.get("smooth", 0.0)))
    film = follow(_shown(image, size), flow)
    return Scene(flow, image, film, "arrows", tuple((a.x, a.y, a.to_x, a.to_y) for a in given))


def _field(motion: dict[str, Any], image: Tensor | None, size: tuple[int, int], frames: int, folder: Path) -> Scene:
    name = str(motion.pop("name", None))
    numbers = {key: value for key, value in motion.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    if len(numbers) < len(motion):
        raise InputError(f"motion: {sorted(set(motion) - set(numbers))} must be numbers")
    flow = field(name, size, frames, **numbers)
    return Scene(flow, image, follow(_shown(image, size), flow), "field")


_KINDS: dict[str, Callable[..., Scene]] = {
    "drag": _drag,
    "camera": _camera,
    "transfer": _transfer,
    "arrows": _arrows,
    "field": _field,
}


def _check_numbers(value: Any, where: str, seen: set[int]) -> None:
    """Refuse numbers that are not finite, wherever they are; a part that YAML shares is looked at once."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where} is {value}; expected a finite number")
    if not isinstance(value, Mapping | list) or id(value) in seen:
        return
    seen.add(id(value))
    parts = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, part in parts:
        inside = f"{where}[{key}]" if isinstance(value, list) else f"{where}.{key}".removeprefix(".")
        _check_numbers(part, inside, seen)


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is {type(value).__name__}; expected names with values")
    return value


def _list(data: Mapping[str, Any], key: str, where: str = "motion") -> list[Any]:
    value = data.get(key)
    if not isinstance(value, list) or not value:
        raise InputError(f"{where}.{key} is {value!r}; expected a list with at least one entry")
    return value


def _keys(data: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(str(key) for key in data if key not in known)
    if unknown:
        raise InputError(f"{where}: unknown {', '.join(unknown)}; expected some of {', '.join(sorted(known))}")


def _record(kind: Any, entry: Any, where: str) -> Any:
    entry = _mapping(entry, where)
    names = [f.name for f in fields(kind)]
    _keys(entry, set(names), where)
    required = [n for n, p in inspect.signature(kind).parameters.items() if p.default is p.empty]
    missing = [n for n in required if n not in entry]
    if missing:
        raise InputError(f"{where}: {', '.join(missing)} is missing")
    bad = [key for key, value in entry.items() if not isinstance(value, int | float) or isinstance(value, bool)]
    if bad:
        raise InputError(f"{where}.{bad[0]} is {entry[bad[0]]!r}; expected a number")
    return kind(**{key: float(value) for key, value in entry.items()})
