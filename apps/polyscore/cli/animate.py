"""``polyscore animate scene.yaml|image.png -o DIR``: a clip that moves as it is told, by the bundled model or one of diffusers.

The motion comes from the scene (docs/domains/video.md), or, for a picture, from ``--arrow``, ``--field`` or ``--like``. ``DIR``
gets ``preview.mp4`` (crude composite, flow, noise, result), ``clip.mp4``, ``flow.npz``, ``noise.safetensors``, ``arrows.png``
and ``report.json``: whiteness of the noise, how closely it follows the flow, requested against produced motion, frames a
second.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.animate_files import Made, measures, write
from polyscore.cli.console import say
from polyscore.cli.report import Report
from polyscore.cli.warp_noise import size_of
from polyscore.errors import InputError

if TYPE_CHECKING:
    import torch

    from polyscore.video.scene import Scene

__all__ = ["HELP", "add_arguments", "run"]

HELP = "make a clip that moves as drawn: dragged parts, a camera path, arrows, a reference clip"

_SCENES = {".yaml", ".yml"}
_MOST = 64  # frames of a clip of the bundled model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The scene or picture, the motion, the model."""
    parser.add_argument("source", type=Path, metavar="SCENE.yaml|IMAGE", help="a scene (docs/domains/video.md), or a picture")
    parser.add_argument(
        "--arrow", action="append", default=[], metavar="X,Y,TO_X,TO_Y", help="of a picture: this point goes there; repeatable"
    )
    parser.add_argument(
        "--field",
        metavar="NAME[:KEY=VALUE,...]",
        help="of a picture: translate, zoom, rotate, shear or swirl, such as zoom:rate=0.02",
    )
    parser.add_argument("--like", type=Path, metavar="CLIP", help="of a picture: the motion of this clip")
    parser.add_argument("--frames", type=flags.whole(2), metavar="N", help="of a picture: length (default: the model's)")
    flags.add(
        parser,
        *flags.MAKE,
        "steps",
        model={
            "default": "moving-digits",
            "help": "a shipped model (see `polyscore models`), a saved one, or a folder of a diffusers video pipeline "
            "(default: moving-digits)",
        },
        out={"required": True, "metavar": "DIR", "help": "folder for preview, clip, flow, noise, arrows and report"},
        seed={"help": "seed of the noise (default: 0)"},
        steps={"help": "steps of the sampler (default: 8; of a diffusers pipeline 30)"},
        report={"help": "where the report goes (default: report.json in the folder)"},
    )
    parser.add_argument("--size", metavar="WxH", help="pixels of the clip (default: the model's, in the shape of the scene)")
    parser.add_argument(
        "--degrade", type=flags.finite, default=0.0, metavar="SHARE", help="0 follows the motion, 1 ignores it (default: 0)"
    )
    parser.add_argument("--own-picture", action="store_true", help="the model thinks of a picture of its own")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="what a diffusers pipeline shall show")
    parser.add_argument("--guidance", type=flags.finite, metavar="SCALE", help="of a diffusers pipeline (default: its own)")


def run(args: argparse.Namespace) -> int:
    """Read the scene, make the clip, measure it, write the files."""
    flags.threads(args.threads)
    from polyscore.video.guests import is_guest

    args.report = args.report or args.out / "report.json"
    if args.out.exists() and not args.out.is_dir():
        raise InputError(f"--out {args.out}: is a file; expected a folder, or a free name")
    with Report("animate", args) as report:
        device = flags.device(args.device)
        report.device = str(device)
        with report.item(args.source, args.out) as item:
            make = _by_guest if is_guest(args.model) else _by_own
            made, report.nfe = make(args, device)
            item.update(frames=made.scene.frames, size=list(made.scene.flow.size), files=write(args.out, made))
            report.metrics = measures(made)
            if made.warning is not None:
                item["warning"] = made.warning
                say(f"note: {made.warning}", quiet=args.quiet)
            say(_summary(args.out, made, report.metrics), quiet=args.quiet)
    return report.exit_code


def _by_own(args: argparse.Namespace, device: torch.device) -> tuple[Made, float | None]:
    """The clip by a model of this library, and its network evaluations."""
    import torch

    from polyscore.noise import Recorded, Warped, resize_flow
    from polyscore.video import Animator
    from polyscore.video.families import Family

    model = Animator.from_pretrained(args.model, device=device)
    channels, frames = model.shape[:2]
    scene = _scene(args, frames)
    if scene.frames > _MOST:
        raise InputError(f"{args.source}: {scene.frames} frames; {args.model} was trained on {frames} and makes at most {_MOST}")
    scene = scene.resized(size_of(args.size) if args.size else _fitting(scene.flow.size, model.size))
    height, width = scene.flow.size
    source = Warped(
        resize_flow(scene.flow, (height * model.fine, width * model.fine)), args.seed, degrade=args.degrade, reduce=model.fine
    )
    noise = source(torch.empty(1, channels, scene.frames, height, width))
    told = scene.image is not None and channels == 3 and not args.own_picture
    calls = [0]
    hook = model.denoiser.register_forward_hook(lambda *_: calls.__setitem__(0, calls[0] + 1))
    started = time.perf_counter()
    clip = model.sample(
        Recorded([noise.to(device)]),
        (1, scene.frames, height, width),
        picture=scene.image[None] if told and scene.image is not None else None,
        steps=args.steps or 8,
    )[0]
    seconds = time.perf_counter() - started
    hook.remove()
    family = Family("polyscore", channels, 1, 1, "BCTHW", frames, model.size)
    return Made(scene, family, noise, clip.cpu().expand(-1, 3, -1, -1), seconds), float(calls[0])


def _by_guest(args: argparse.Namespace, device: torch.device) -> tuple[Made, None]:
    """The clip by a pipeline of diffusers."""
    from polyscore.video.guests import Guest
    from polyscore.video.latents import latent_noise

    guest = Guest.from_folder(args.model, device=device)
    if hasattr(guest.pipeline, "set_progress_bar_config"):
        guest.pipeline.set_progress_bar_config(disable=args.quiet)
    family = guest.family
    scene = _scene(args, family.frames)
    scene = scene.resized(size_of(args.size) if args.size else family.size)
    noise = latent_noise(scene.flow, family, noise=args.seed, degrade=args.degrade)
    started = time.perf_counter()
    clip = guest.generate(
        noise.to(device),
        frames=scene.frames,
        size=scene.flow.size,
        image=None if args.own_picture else scene.image,
        prompt=args.prompt,
        steps=args.steps or 30,
        guidance=args.guidance,
        seed=args.seed,
    )
    seconds = time.perf_counter() - started
    warning = None
    if guest.washes_out is not None:
        warning = f"{guest.washes_out} draws noise of its own at every step, which washes the motion out; use DDIM or Euler"
    return Made(scene, family, noise, clip, seconds, warning), None


def _scene(args: argparse.Namespace, frames: int) -> Scene:
    from polyscore.video.scene import load_scene, scene_of

    given = [name for name in ("arrow", "field", "like") if getattr(args, name)]
    if args.source.suffix.lower() in _SCENES:
        if given or args.frames:
            raise InputError(f"--{given[0] if given else 'frames'}: the scene {args.source} says that itself; leave it out")
        return load_scene(args.source)
    if len(given) != 1:
        wanted = "--arrow X,Y,TO_X,TO_Y, --field NAME or --like CLIP, or a scene.yaml"
        raise InputError(f"{args.source}: a picture needs one motion, found {' and '.join(given) or 'none'}; expected {wanted}")
    if not args.source.is_file():
        raise InputError(f"{args.source}: no such file; expected a scene (.yaml) or a picture")
    motion: dict[str, Any]
    if args.arrow:
        motion = {"kind": "arrows", "arrows": [_numbers(text) for text in args.arrow]}
    elif args.field:
        name, _, settings = args.field.partition(":")
        motion = {"kind": "field", "name": name, **_settings(settings)}
    else:
        return _like(args, frames)
    return scene_of({"image": args.source.name, "frames": args.frames or frames, "motion": motion}, args.source.parent)


def _like(args: argparse.Namespace, frames: int) -> Scene:
    """The motion of a clip, brought to the size of the picture."""
    from dataclasses import replace

    from polyscore.films import read_film
    from polyscore.video.scene import cover, follow, picture, transfer

    image = picture(args.source)
    film, _ = read_film(args.like, frames=args.frames)
    length = args.frames or min(len(film), frames)
    scale = 256 / min(image.shape[1:])  # the estimator needs no more
    size = (round(image.shape[1] * scale), round(image.shape[2] * scale))
    scene = transfer(film[:length], size=size)
    image = cover(image[None], size)[0]
    return replace(scene, image=image, film=follow(image, scene.flow))


def _numbers(text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != 4 or not all(math.isfinite(value) for value in values):
        raise InputError(f"--arrow {text}: expected four numbers, X,Y,TO_X,TO_Y, in pixels of the picture")
    return values


def _settings(text: str) -> dict[str, float]:
    found = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        try:
            found[key] = float(value)
        except ValueError:
            equals = ""
        if not equals or not math.isfinite(found[key]):
            raise InputError(f"--field: {part!r} is no setting; expected KEY=VALUE with a number, such as rate=0.02")
    return found


def _fitting(size: tuple[int, int], own: tuple[int, int], multiple: int = 8) -> tuple[int, int]:
    """The shape of the scene with the shorter side of the model, in whole blocks, at most three times as long as wide."""
    scale = min(own) / min(size)
    height, width = (min(3 * min(own), max(multiple, round(n * scale / multiple) * multiple)) for n in size)
    return height, width


def _summary(out: Path, made: Made, metrics: dict[str, Any]) -> str:
    asked, path = metrics["motion"], metrics.get("path", {}).get("velocity_error")
    said = f"{out}: {made.scene.frames} frames in {made.seconds:.1f} s ({metrics['fps']:.1f} frames/s)"
    if path is not None:
        said += f"; the dragged part is off by {path:.2f} px a frame"
    if asked["epe_moving"] is None:
        return f"{said}; no motion to be judged in the result"
    return f"{said}; motion wrong by {asked['epe_moving']:.2f} of {asked['epe_nothing']:.2f} px a frame"
