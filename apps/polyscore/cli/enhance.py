"""``polyscore enhance IN... -o OUT``: noisy recordings in, clean ones out, file by file; of clipped ones, the peaks rebuilt."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say, track
from polyscore.cli.enhance_files import Files, announce
from polyscore.cli.enhance_jobs import PIPE, jobs_of
from polyscore.cli.report import Report

if TYPE_CHECKING:
    from polyscore.audio.methods import Method
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
        batch_size={
            "type": _batch,
            "default": "auto",
            "help": "windows, of one recording or several, in a network call (default: auto; 1 on a CPU, else what fits)",
        },
    )
    parser.add_argument(
        "--restore",
        choices=("clip",),
        help="instead of removing noise, rebuild the peaks that a recorder cut off; by sparsity, no model is asked, --steps and "
        "--preset say how long",
    )
    parser.add_argument("--snr", type=flags.finite, help="of the Langevin steps of pc and langevin (default: the model's)")
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
        default="auto",
        help="length of the windows of a long recording (default: auto; the model's, or less if little memory is free)",
    )
    parser.add_argument(
        "--seams",
        choices=("context", "blend"),
        default="context",
        help="how windows of a diffusion model are joined: each sampled with context that is discarded, or all in one state and "
        "joined at every step (default: context)",
    )
    parser.add_argument("--dry-run", action="store_true", help="list what would be read and written, and write nothing")
    parser.add_argument("--skip-existing", action="store_true", help="leave outputs that are already there as they are")
    parser.add_argument("--plot", action="store_true", help="write spectrograms before and after beside each output")


def run(args: argparse.Namespace) -> int:
    """Enhance every input; a file that fails is reported and the others are done."""
    flags.threads(args.threads)
    jobs = jobs_of(args.inputs, args.out)
    if args.out == PIPE:
        args.quiet = True  # standard output is the sound's
    page = _page(args)
    if args.plot or args.samples > 1:
        from polyscore.audio.spectrogram_plot import check_matplotlib

        check_matplotlib()
    with Report("enhance", args) as report:
        device = "cpu" if args.restore else flags.device(args.device)
        enhancer, method = _how(args, device)
        report.device, report.nfe = str(device), method.nfe if method.nfe is None else method.nfe * args.samples
        files = Files(args, enhancer, method, page=page, report=report)
        how = f"windows of {enhancer.window(args.chunk):g} s" + (f", {files.size} at a time" if files.size > 1 else "")
        say(f"{args.restore or args.model} on {device}: {method}; {how}", quiet=args.quiet)
        for job in track(jobs, "enhancing", total=len(jobs), quiet=args.quiet):
            if args.dry_run:
                with report.item(job.source, job.target) as item:
                    announce(job, args, item)
            else:
                files.take(job)
        files.finish()
        say(_summary(report, args.out), quiet=args.quiet)
    if page is not None:
        page.write(report.as_dict(), str(method))
    return report.exit_code


def _how(args: argparse.Namespace, device: Any) -> tuple[Any, Any]:
    """The model and its method; for restoring, what stands in for both."""
    if args.restore:
        from polyscore.cli.enhance_restore import Restorer

        restorer = Restorer.of(args)
        return restorer, restorer
    from polyscore.audio import SpeechEnhancer

    enhancer = SpeechEnhancer.from_pretrained(args.model, weights=args.weights, device=device)
    method = enhancer.method(
        preset=args.preset, steps=args.steps, sampler=args.sampler, snr=args.snr, corrector_steps=args.corrector_steps
    )
    _check(args, method)
    return enhancer, method


def _check(args: argparse.Namespace, method: Method) -> None:
    """Refuse what the model's method has no use for, before a file is read."""
    if method.sampler is not None:
        return
    from polyscore.errors import InputError

    if args.samples > 1:
        raise InputError(f"--samples {args.samples}: {args.model} has one answer ({method}); leave it out")
    if args.seams == "blend":
        raise InputError(f"--seams blend: {args.model} makes no steps ({method}); leave it out")


def _page(args: argparse.Namespace) -> AudioPage | None:
    """The HTML report, if that was asked for; then there is no JSON report."""
    if args.report is None or args.report.suffix.lower() not in (".html", ".htm"):
        return None
    from polyscore.cli.audio_page import AudioPage

    page = AudioPage(args.report)
    args.report = None
    return page


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


def _seconds(text: str) -> float | str:
    if text == "auto":
        return text
    value = flags.finite(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} s is no length; expected more than 0")
    return value


def _batch(text: str) -> int | str:
    return text if text == "auto" else flags.whole(1)(text)
