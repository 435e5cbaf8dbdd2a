"""``polyscore warp-noise clip.mp4|scene.yaml -o noise.safetensors --for cogvideox``: noise that moves as a clip or a scene does.

The file holds one tensor, ``noise``, in the layout that the family's pipelines take as ``latents=``, and as metadata how it was
made. A film beside it shows the motion and the noise. ComfyUI nodes that load latents from a file read it too.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from polyscore.cli import flags
from polyscore.cli.console import say
from polyscore.cli.report import Report
from polyscore.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from polyscore.noise import Motion
    from polyscore.video.families import Family
    from polyscore.video.scene import Scene

__all__ = ["HELP", "add_arguments", "run", "size_of"]

HELP = "noise for a video model that moves as a clip or a scene does"

_FAMILIES = ("cogvideox", "wan", "hunyuan", "svd", "animatediff", "ltx")
_METHODS = ("auto", "dis", "raft", "torch")
_MODES = ("residual", "dither", "bilinear", "nearest")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The motion, the model it is for, and how noise follows."""
    parser.add_argument("source", type=Path, metavar="CLIP|SCENE.yaml", help="a video clip, or a scene (docs/domains/video.md)")
    flags.add(
        parser,
        *flags.SCORE,
        out={"required": True, "metavar": "NOISE.safetensors", "help": "file for the noise; the film is written beside it"},
        seed={"help": "seed of the first sample's noise, the next has the next (default: 0)"},
    )
    parser.add_argument("--for", dest="family", choices=_FAMILIES, required=True, help="the family of models it is for")
    parser.add_argument("--frames", type=flags.whole(2), metavar="N", help="frames of a clip (default: the family's)")
    parser.add_argument("--size", metavar="WxH", help="pixels of the video; a clip is cropped to them (default: the family's)")
    parser.add_argument("--mode", choices=_MODES, default="residual", help="what becomes of parts of a pixel (default: residual)")
    parser.add_argument(
        "--degrade", type=flags.finite, default=0.0, metavar="SHARE", help="0 follows the motion, 1 ignores it (default: 0)"
    )
    parser.add_argument("--flow", choices=_METHODS, default="auto", help="how a clip's motion is found (default: auto)")
    parser.add_argument("-n", "--count", type=flags.whole(1), default=1, metavar="N", help="samples of noise (default: 1)")
    parser.add_argument("--fine", type=flags.whole(1), metavar="K", help="carry noise at K times the latent (default: to 8)")


def run(args: argparse.Namespace) -> int:
    """Find the motion, carry the noise, write file and film."""
    flags.threads(args.threads)
    from polyscore.video.families import FAMILIES
    from polyscore.video.latents import latent_noise

    family = FAMILIES[args.family]
    with Report("warp-noise", args) as report:
        if args.out.suffix != ".safetensors":
            raise InputError(f"--out {args.out}: expected a name that ends in .safetensors")
        with report.item(args.source, args.out) as item:
            scene = _scene(args, family)
            noise = latent_noise(
                scene.flow,
                family,
                motion=_motion(args.mode),
                noise=args.seed,
                batch=args.count,
                degrade=args.degrade,
                fine=args.fine,
            )
            film = _write(args, family, scene, noise)
            item.update(shape=list(noise.shape), frames=scene.frames, size=list(scene.flow.size), film=str(film))
            report.metrics.update(_measure(family, scene, noise))
            say(f"{args.out}: {family.name} noise {tuple(noise.shape)}, film {film}", quiet=args.quiet)
            if family.own_noise:
                names = " and ".join(family.own_noise)
                say(f"note: {names} would draw other noise and wash the motion out; use DDIM or Euler", quiet=args.quiet)
    return report.exit_code


def _motion(name: str) -> Motion:
    from polyscore.noise import Bilinear, Dither, Nearest, Residual

    modes: dict[str, Motion] = {"residual": Residual(), "dither": Dither(), "bilinear": Bilinear(), "nearest": Nearest()}
    return modes[name]


def _scene(args: argparse.Namespace, family: Family) -> Scene:
    from polyscore.films import read_film
    from polyscore.video.scene import load_scene, transfer

    size = None if args.size is None else size_of(args.size)
    if args.source.suffix.lower() in {".yaml", ".yml"}:
        scene = load_scene(args.source)
        return scene if size is None else scene.resized(size)
    film, _ = read_film(args.source, frames=args.frames)
    frames = args.frames or _fitting(len(film), family)
    return transfer(film[:frames], args.flow, size or family.size)


def _fitting(there: int, family: Family) -> int:
    """As many frames as the family takes, at most its own number."""
    most = min(there, family.frames)
    return max(2, (most - 1) // family.time * family.time + 1)


def size_of(text: str) -> tuple[int, int]:
    """Height and width of the words of --size.

    Raises:
        InputError: not two whole numbers from 16 to 8192.
    """
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and all(16 <= int(n) <= 8192 for n in (width, height))):
        raise InputError(f"--size {text}: expected width x height in pixels, 16 to 8192 each, such as 720x480")
    return int(height), int(width)


def _write(args: argparse.Namespace, family: Family, scene: Scene, noise: Tensor) -> Path:
    from polyscore.films import write_film
    from polyscore.video.noise_files import write_noise
    from polyscore.video.panels import panel

    notes = {"mode": args.mode, "degrade": str(args.degrade), "seed": str(args.seed)}
    write_noise(args.out, noise, family, frames=scene.frames, size=scene.flow.size, notes=notes)
    frames = panel(scene.flow, family.frames_of(noise[0], scene.flow.size), film=scene.film)
    return write_film(args.out.with_suffix(".mp4"), frames, fps=12)


def _measure(family: Family, scene: Scene, noise: Tensor) -> dict[str, object]:
    from polyscore.video.whiteness import battery

    worst = {name: round(z, 3) for name, z in battery(family.frames_of(noise[0], scene.flow.size)).items()}
    speed = scene.flow.forward.square().sum(1).sqrt()
    return {"whiteness_z": worst, "mean_speed": round(float(speed.mean()), 4), "largest_speed": round(float(speed.max()), 4)}
