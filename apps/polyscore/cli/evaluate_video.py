"""``polyscore evaluate video CLIP...``: does a clip move as asked, does it hold together, are many like those of a reference.

The requested motion of a clip is a flow (.npz): `--flow`, or, without it, the file of the clip's name beside it, or `flow.npz`
in its folder, as ``polyscore animate`` leaves it. Folders are searched for clips, previews left out. Scores are given per clip
(``--out``, a CSV), and as mean, standard deviation and bootstrap interval (``--report``).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say, table, track
from polyscore.cli.item_table import write_items
from polyscore.cli.report import Item, Report, mean
from polyscore.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["HELP", "SCORES", "add_arguments", "run"]

HELP = "score clips: motion against the requested one, warp error, flicker, whiteness of noise, Frechet distances"

SCORES = {
    "epe": "px a frame",
    "epe_moving": "px a frame",
    "epe_nothing": "px a frame",
    "correlation": "",
    "speed": "px a frame",
    "judged": "share",
    "warp_error": "of 0..1",
    "flicker": "of 0..1",
}
"""Every score of a clip, with its unit."""

_SUFFIXES = (".mp4", ".gif", ".webm", ".mov", ".avi", ".mkv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The clips, what was asked of them, what they are compared with."""
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP|DIR", help="clips, or folders of them, without previews")
    parser.add_argument(
        "--flow", type=Path, metavar="FILE.npz", help="the motion that was asked of all clips (default: the one beside each)"
    )
    parser.add_argument("--method", choices=("auto", "dis", "raft", "torch"), default="auto", help="of estimating motion")
    parser.add_argument("--reference", type=Path, metavar="DIR", help="real clips: Frechet distance of random features")
    parser.add_argument("--cd-fvd", choices=("videomae", "i3d"), help="with --reference: the published FVD too (needs cd-fvd)")
    parser.add_argument(
        "--noise", nargs="+", type=Path, default=[], metavar="FILE.safetensors", help="noise whose whiteness is tested"
    )
    flags.add(
        parser,
        *flags.SCORE,
        out={"metavar": "FILE.csv", "help": "write the scores clip by clip"},
        seed={"help": "seed of the bootstrap (default: 0)"},
    )


def run(args: argparse.Namespace) -> int:
    """Score every clip; one that cannot be scored fails, the others are done."""
    flags.threads(args.threads)
    if not args.clips and not args.noise:
        raise InputError("evaluate video: nothing to score; give clips, folders of them, or --noise")
    if args.cd_fvd and args.reference is None:
        raise InputError("--cd-fvd: compares with real clips; give --reference DIR")
    with Report("evaluate", args) as report:
        report.device = "cpu"
        clips = found(args.clips)
        films: list[Tensor] = []
        for clip in track(clips, "scoring", total=len(clips), quiet=args.quiet):
            with report.item(clip) as item:
                films.append(_score(clip, args, item))
        report.metrics = {name: mean([i[name] for i in report.items if name in i], seed=args.seed) for name in SCORES}
        report.metrics = {name: value for name, value in report.metrics.items() if value["n"]}
        if args.reference is not None and films:
            report.metrics.update(_distances(films, args))
        for name in args.noise:
            with report.item(name) as item:
                item["whiteness_z"] = _white(name)
        if args.out is not None:
            write_items(args.out, report.items, key="input", columns=("frames", *SCORES))
        say(_table(report), quiet=args.quiet)
    return report.exit_code


def found(places: Sequence[Path]) -> list[Path]:
    """Clips, and those in folders and their sub-folders, in order, without previews.

    Raises:
        InputError: no such file or folder, or a folder without clips.
    """
    clips: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = [file for file in sorted(place.rglob("*")) if file.suffix.lower() in _SUFFIXES and file.is_file()]
            inside = [file for file in inside if file.stem != "preview" and not file.name.startswith(".")]
            if not inside:
                raise InputError(f"{place}: holds no clips ({', '.join(_SUFFIXES)})")
            clips += inside
        elif place.exists():
            clips.append(place)
        else:
            raise InputError(f"{place}: no such file or folder; expected clips")
    return clips


def _score(clip: Path, args: argparse.Namespace, item: Item) -> Tensor:
    """Fill in the scores of a clip; its frames."""
    from polyscore.video.metrics import flicker, followed, warp_error
    from polyscore.video.motion import estimate
    from polyscore.video.motion.files import read_flow

    film = _film(clip)
    item.update(frames=len(film), size=list(film.shape[2:]))
    asked = args.flow or next((file for file in (clip.with_suffix(".npz"), clip.parent / "flow.npz") if file.is_file()), None)
    if asked is not None:
        flow = read_flow(asked)
        if len(flow) + 1 != len(film):
            raise InputError(f"{clip}: has {len(film)} frames, the motion in {asked} is for {len(flow) + 1}; expected the same")
        scores = followed(film, flow, method=args.method)
        item.update(asked=str(asked), epe=scores.error, epe_moving=scores.moving, epe_nothing=scores.nothing)
        item.update(correlation=scores.correlation, speed=scores.speed, judged=scores.judged)
    own = estimate(film, args.method)
    item["warp_error"] = warp_error(film, own)
    if len(film) > 2:
        item["flicker"] = flicker(film, own)
    return film


def _film(clip: Path) -> Tensor:
    import torch

    from polyscore.films import read_film

    frames, _ = read_film(clip)
    return torch.from_numpy(frames).movedim(-1, 1).float() / 255


def _distances(films: Sequence[Tensor], args: argparse.Namespace) -> dict[str, Any]:
    """Frechet distances to the reference, by the name of the encoder."""
    import torch

    from polyscore.evaluation import frechet
    from polyscore.video.metrics import RandomFeatures
    from polyscore.video.metrics.published import cd_fvd

    real = [_film(clip) for clip in found([args.reference])]
    encoder = RandomFeatures()
    ours, theirs = (torch.stack([encoder(film) for film in part]) for part in (films, real))
    value = frechet(ours, theirs)
    distances: dict[str, Any] = {f"frechet_{encoder.name}": {"value": value, "n": len(films), "reference": len(real)}}
    if args.cd_fvd:
        distances[f"cd_fvd_{args.cd_fvd}"] = {"value": cd_fvd(real, films, args.cd_fvd), "n": len(films), "reference": len(real)}
    return distances


def _white(name: Path) -> dict[str, float]:
    """The worst z-score of every test over all frames of all samples."""
    from polyscore.video.noise_files import read_noise
    from polyscore.video.whiteness import battery

    return {test: round(z, 3) for test, z in battery(read_noise(name).frames.flatten(0, 1)).items()}


def _table(report: Report) -> str:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    rows = []
    for name, value in report.metrics.items():
        low, high = value.get("ci95") or (None, None)
        middle = value["mean"] if "mean" in value else value["value"]
        rows.append((name, shown(middle), f"{shown(low)} .. {shown(high)}", str(value["n"]), SCORES.get(name, "")))
    for item in report.items:
        z: Mapping[str, float] = item.get("whiteness_z", {})
        rows += [(f"white: {test}", f"{value:+.2f}", "z", "", str(item["input"])) for test, value in z.items()]
    return table(("SCORE", "MEAN", "95 % INTERVAL", "N", "UNIT"), rows) if rows else "No clip could be scored."
