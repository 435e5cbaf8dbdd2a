"""``polyscore enhance IN... -o OUT``: noisy recordings in, clean ones out, file by file."""

from __future__ import annotations

import argparse
import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from polyscore.cli import flags
from polyscore.cli.console import say, track
from polyscore.cli.report import Item, Report

if TYPE_CHECKING:
    from polyscore.audio.pipeline import SpeechEnhancer

__all__ = ["HELP", "add_arguments", "run", "Job", "jobs_of"]

HELP = "clean noisy speech recordings (wav, flac, ogg, mp3; any rate, any number of channels)"


@dataclass(frozen=True)
class Job:
    """One file to enhance; ``error`` is why it cannot be."""

    source: Path
    target: Path | None
    error: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Inputs, the output, and how to enhance."""
    parser.add_argument("inputs", nargs="+", metavar="IN", help="audio files, folders (with their sub-folders) or patterns")
    flags.add(
        parser,
        "model",
        "out",
        "seed",
        "steps",
        "sampler",
        "preset",
        "device",
        "threads",
        "batch_size",
        "report",
        "quiet",
        model={
            "default": "speech-16k",
            "help": "a shipped model (see `polyscore models`), a saved one, or an SGMSE .ckpt (default: speech-16k)",
        },
        sampler={
            "help": "multistep, ode, sde, pc, langevin, predictor, pc-2023, rk45, ode-upstream or sde-upstream "
            "(default: the preset's)"
        },
        steps={"help": "steps of the sampler (default: the preset's)"},
        out={"required": True, "help": "the folder to write to; or a file, for one input file"},
        preset={
            "choices": ("fast", "balanced", "paper"),
            "default": "balanced",
            "help": "how long a diffusion model may take: fast, balanced, or paper, the published settings "
            "(default: balanced; a predictor makes one call whatever is chosen)",
        },
        batch_size={"help": "windows of a long recording at a time (default: 1)"},
    )
    parser.add_argument("--weights", choices=("ema", "raw"), default="ema", help="of an SGMSE .ckpt (default: ema)")
    parser.add_argument(
        "--mix",
        metavar="SHARE",
        type=_share,
        default=1.0,
        help="share of the enhanced signal in the output, 0 to 1; the rest is the input (default: 1)",
    )
    parser.add_argument("--skip-existing", action="store_true", help="leave outputs that are already there as they are")
    parser.add_argument("--plot", action="store_true", help="write spectrograms before and after beside each output")


def run(args: argparse.Namespace) -> int:
    """Enhance every input; a file that fails is reported and the others are done."""
    flags.threads(args.threads)
    from polyscore.audio import SpeechEnhancer

    jobs = jobs_of(args.inputs, args.out)
    if args.plot:
        from polyscore.audio.spectrogram_plot import check_matplotlib

        check_matplotlib()
    with Report("enhance", args) as report:
        device = flags.device(args.device)
        enhancer = SpeechEnhancer.from_pretrained(args.model, weights=args.weights, device=device)
        method = enhancer.method(preset=args.preset, steps=args.steps, sampler=args.sampler)
        report.device, report.nfe = str(device), method.nfe
        say(f"{args.model} on {device}: {method}", quiet=args.quiet)
        for job in track(jobs, "enhancing", total=len(jobs), quiet=args.quiet):
            with report.item(job.source, job.target) as item:
                _enhance(job, args, enhancer, item)
        say(_summary(report, args.out), quiet=args.quiet)
    return report.exit_code


def jobs_of(inputs: Iterable[str], out: Path) -> list[Job]:
    """What to read and where to write it: sub-folders are kept, no output has the name of an input or of another output.

    Raises:
        InputError: an output would overwrite an input.
    """
    import os

    from polyscore.audio.io import SUFFIXES
    from polyscore.errors import InputError

    found = list(_found(inputs, out, SUFFIXES))
    one_file = len(found) == 1 and out.suffix.lower() in SUFFIXES and not out.is_dir() and Path(found[0][0]).is_file()
    sources = {os.path.realpath(source) for source, _, error in found if error is None}
    jobs: list[Job] = []
    taken: dict[str, Path] = {}
    for source, relative, error in found:
        target = out if one_file else out / relative
        place = os.path.realpath(target)
        if place in sources:
            raise InputError(f"the output {target} would overwrite an input; choose another folder with --out")
        if error is None and place in taken:
            error = f"{source}: would be written to {target}, as {taken[place]}; give a folder that holds both"
        if error is None:
            taken[place] = source
        jobs.append(Job(source, target if error is None else None, error))
    return jobs


def _found(inputs: Iterable[str], out: Path, suffixes: frozenset[str]) -> Iterator[tuple[Path, Path, str | None]]:
    """(file, its place below the output folder, why it cannot be read)."""
    seen: set[Path] = set()
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            root, files = path, sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes)
            earlier = out.resolve() if path.resolve() in out.resolve().parents else None  # what a run before this one wrote
            files = [file for file in files if file.is_file() and earlier not in file.resolve().parents]
            if not files:
                yield path, Path(path.name), f"{path}: the folder holds no audio files ({', '.join(sorted(suffixes))})"
        elif path.exists() or not glob.has_magic(text):
            root, files = path.parent, [path]
        else:
            files = sorted(Path(name) for name in glob.glob(text, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
            files = [file for file in files if file.is_file()]
            root = Path(*_fixed_parts(path))
            if not files:
                yield path, Path("none"), f"{text}: the pattern matches no file"
        for file in files:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file, file.relative_to(root), None


def _fixed_parts(pattern: Path) -> Iterator[str]:
    """The folders of a pattern before its first wildcard."""
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _enhance(job: Job, args: argparse.Namespace, enhancer: SpeechEnhancer, item: Item) -> None:
    from polyscore.audio import io
    from polyscore.audio.frame_noise import mix_seed
    from polyscore.errors import InputError

    if job.target is None:
        raise InputError(job.error or f"{job.source}: cannot be enhanced")
    if args.skip_existing and job.target.exists():
        item.skip("the output is already there")
        return
    wave, form = io.read(job.source)
    item.update(audio_seconds=wave.shape[-1] / form.rate, sample_rate=form.rate, channels=form.channels)
    clean = enhancer.enhance(
        wave,
        form.rate,
        preset=args.preset,
        steps=args.steps,
        sampler=args.sampler,
        seed=mix_seed(args.seed, job.source.name),
        mix=args.mix,
        batch_size=args.batch_size,
    )
    same_name = job.target.suffix.lower() == job.source.suffix.lower()
    io.write(job.target, clean, form if same_name else io.format_for(job.target, form))
    if args.plot:
        from polyscore.audio.spectrogram_plot import draw_before_after

        draw_before_after(job.target.with_name(job.target.name + ".png"), wave, clean, form.rate)


def _summary(report: Report, out: Path) -> str:
    counts = {status: sum(item["status"] == status for item in report.items) for status in ("done", "skipped", "failed")}
    seconds = sum(item.get("audio_seconds", 0.0) for item in report.items if item["status"] == "done")
    spent = sum(item["seconds"] for item in report.items if item["status"] == "done")
    words = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    speed = f"; {seconds:.1f} s of audio in {spent:.1f} s" if counts["done"] else ""
    return f"{words} -> {out}{speed}"


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{value} is no share; expected 0 to 1")
    return value
