"""``polyscore enhance IN... -o OUT``: noisy recordings in, clean ones out, file by file."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from polyscore.cli import flags
from polyscore.cli.console import say, track
from polyscore.cli.enhance_jobs import PIPE, Job, jobs_of
from polyscore.cli.report import Item, Report

if TYPE_CHECKING:
    from torch import Tensor

    from polyscore.audio.io import AudioFormat
    from polyscore.audio.pipeline import SpeechEnhancer
    from polyscore.cli.audio_page import AudioPage

__all__ = ["HELP", "add_arguments", "run"]

HELP = "clean noisy speech recordings (wav, flac, ogg, mp3, aiff; any rate, any number of channels)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Inputs, the output, and how to enhance."""
    where = "audio files, folders (with their sub-folders) or patterns; - is stdin"
    parser.add_argument("inputs", nargs="+", metavar="IN", help=where)
    flags.add(
        parser,
        *flags.RUN,
        model={
            "default": "speech-16k",
            "help": "a shipped model (see `polyscore models`), a saved one, or an SGMSE or StoRM .ckpt (default: speech-16k)",
        },
        sampler={
            "help": "multistep, ode, sde, pc, langevin, predictor, pc-2023, predictor-2023, regression, rk45, ode-upstream or "
            "sde-upstream (default: the preset's)"
        },
        report={
            "metavar": "FILE.json|FILE.html",
            "help": "write what was done as JSON; or as one HTML page with players and spectrograms before and after",
        },
        steps={"help": "steps of the sampler (default: the preset's)"},
        out={"required": True, "help": "the folder to write to; or a file, for one input file; - is stdout"},
        preset={
            "choices": ("fast", "balanced", "paper"),
            "default": "balanced",
            "help": "how long a diffusion model may take: fast, balanced, or paper, the published settings "
            "(default: balanced; a predictor makes one call whatever is chosen)",
        },
        batch_size={"help": "windows of a long recording at a time (default: 1)"},
    )
    parser.add_argument("--snr", type=flags.finite, default=0.5, help="of the Langevin steps of pc and langevin (default: 0.5)")
    parser.add_argument(
        "--corrector-steps", metavar="N", type=flags.whole(1), default=1, help="Langevin steps before each step (default: 1)"
    )
    parser.add_argument("--weights", choices=("ema", "raw"), default="ema", help="of an SGMSE or StoRM .ckpt (default: ema)")
    parser.add_argument(
        "--mix",
        metavar="SHARE",
        type=_share,
        default=1.0,
        help="share of the enhanced signal in the output, 0 to 1; the rest is the input (default: 1)",
    )
    parser.add_argument(
        "--samples",
        metavar="K",
        type=flags.whole(1),
        default=1,
        help="average K draws of a diffusion model, and paint where they differ on the spectrograms (default: 1)",
    )
    parser.add_argument(
        "--channels",
        choices=("each", "mono", "first"),
        default="each",
        help="enhance each channel by itself, their mean, or the first; the last two write one channel (default: each)",
    )
    parser.add_argument(
        "--high-band",
        choices=("gain", "keep", "drop"),
        default="gain",
        help="of recordings sampled faster than the model: turned down as the low band was, kept, or dropped (default: gain)",
    )
    parser.add_argument(
        "--chunk",
        metavar="SECONDS",
        type=_seconds,
        help="length of the windows of a long recording (default: the model's, or less if little memory is free)",
    )
    parser.add_argument("--dry-run", action="store_true", help="list what would be read and written, and write nothing")
    parser.add_argument("--skip-existing", action="store_true", help="leave outputs that are already there as they are")
    parser.add_argument("--plot", action="store_true", help="write spectrograms before and after beside each output")


def run(args: argparse.Namespace) -> int:
    """Enhance every input; a file that fails is reported and the others are done."""
    flags.threads(args.threads)
    from polyscore.audio import SpeechEnhancer

    jobs = jobs_of(args.inputs, args.out)
    if args.out == PIPE:
        args.quiet = True  # standard output is the sound's
    page = _page(args)
    if args.plot or args.samples > 1:
        from polyscore.audio.spectrogram_plot import check_matplotlib

        check_matplotlib()
    with Report("enhance", args) as report:
        device = flags.device(args.device)
        enhancer = SpeechEnhancer.from_pretrained(args.model, weights=args.weights, device=device)
        langevin = {"snr": args.snr, "corrector_steps": args.corrector_steps}
        method = enhancer.method(preset=args.preset, steps=args.steps, sampler=args.sampler, **langevin)
        if args.samples > 1 and method.sampler is None:
            from polyscore.errors import InputError

            raise InputError(f"--samples {args.samples}: {args.model} has one answer ({method}); leave it out")
        report.device, report.nfe = str(device), method.nfe if method.nfe is None else method.nfe * args.samples
        window = enhancer.window(args.chunk)
        say(f"{args.model} on {device}: {method}; windows of {window:g} s", quiet=args.quiet)
        for job in track(jobs, "enhancing", total=len(jobs), quiet=args.quiet):
            with report.item(job.source, job.target) as item:
                if args.dry_run:
                    _announce(job, args, item)
                else:
                    _enhance(job, args, enhancer, item, page)
        say(_summary(report, args.out), quiet=args.quiet)
    if page is not None:
        page.write(report.as_dict(), str(method))
    return report.exit_code


def _page(args: argparse.Namespace) -> AudioPage | None:
    """The HTML report, if that was asked for; then there is no JSON report."""
    if args.report is None or args.report.suffix.lower() not in (".html", ".htm"):
        return None
    from polyscore.cli.audio_page import AudioPage

    page = AudioPage(args.report)
    args.report = None
    return page


def _announce(job: Job, args: argparse.Namespace, item: Item) -> None:
    """What would be done, without doing it."""
    from polyscore.audio import io
    from polyscore.errors import InputError

    if job.target is None:
        raise InputError(job.error or f"{job.source}: cannot be enhanced")
    if job.source == PIPE:
        item.skip("dry run")
        say(f"standard input -> {job.target}", quiet=args.quiet)
        return
    form, frames = io.probe(job.source)
    item.update(audio_seconds=frames / form.rate, sample_rate=form.rate, channels=form.channels)
    there = job.target != PIPE and job.target.exists()
    fate = (" (is there and stays)" if args.skip_existing else " (replaces what is there)") if there else ""
    item.skip("dry run")
    what = f"{frames / form.rate:.1f} s, {form.rate} Hz, {form.channels} channels, {form.container} {form.subtype}"
    say(f"{job.source} ({what}) -> {job.target}{fate}", quiet=args.quiet)


def _enhance(job: Job, args: argparse.Namespace, enhancer: SpeechEnhancer, item: Item, page: AudioPage | None) -> None:
    from polyscore.audio.frame_noise import mix_seed
    from polyscore.errors import InputError

    if job.target is None:
        raise InputError(job.error or f"{job.source}: cannot be enhanced")
    if args.skip_existing and job.target != PIPE and job.target.exists():
        item.skip("the output is already there")
        return
    wave, form = _read(job.source)
    item.update(audio_seconds=wave.shape[-1] / form.rate, sample_rate=form.rate, channels=form.channels)
    wave, form = _channels(wave, form, args.channels)
    draws = enhancer.draws(
        wave,
        form.rate,
        args.samples,
        seed=mix_seed(args.seed, job.source.name),
        preset=args.preset,
        steps=args.steps,
        sampler=args.sampler,
        snr=args.snr,
        corrector_steps=args.corrector_steps,
        mix=args.mix,
        high_band=args.high_band,
        chunk=args.chunk,
        batch_size=args.batch_size,
    )
    doubt = None
    if args.samples > 1:
        from polyscore.audio.posterior import summarise

        posterior = summarise(draws, form.rate)
        clean, doubt = posterior.mean, posterior.doubt
        item.update(samples=args.samples, mean_doubt=float(doubt.mean()))
    else:
        clean = next(draws)
    _write(job, clean, form)
    if (args.plot or doubt is not None) and job.target != PIPE:
        from polyscore.audio.spectrogram_plot import draw_before_after

        draw_before_after(job.target.with_name(job.target.name + ".png"), wave, clean, form.rate, doubt=doubt)
    if page is not None:
        page.add(str(job.source), wave, clean, form.rate, doubt=doubt)


def _read(source: Path) -> tuple[Tensor, AudioFormat]:
    from polyscore.audio import io

    return io.decode(sys.stdin.buffer.read(), "standard input") if source == PIPE else io.read(source)


def _write(job: Job, clean: Tensor, form: AudioFormat) -> None:
    from polyscore.audio import io

    if job.target is None or job.target == PIPE:
        sys.stdout.buffer.write(io.encode(clean, form, "standard output"))
        sys.stdout.buffer.flush()
        return
    same_name = job.target.suffix.lower() == job.source.suffix.lower()
    io.write(job.target, clean, form if same_name else io.format_for(job.target, form))


def _channels(wave: Tensor, form: AudioFormat, choice: str) -> tuple[Tensor, AudioFormat]:
    """The channels to enhance and to write: each, their mean, or the first."""
    from dataclasses import replace

    if choice == "each":
        return wave, form
    return (wave.mean(0, keepdim=True) if choice == "mono" else wave[:1]), replace(form, channels=1)


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


def _seconds(text: str) -> float:
    value = flags.finite(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} s is no length; expected more than 0")
    return value
