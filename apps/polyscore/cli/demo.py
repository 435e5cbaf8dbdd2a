"""``polyscore demo [IN]``: a noisy recording made clean, its spectrograms, and a grid of sampled digits, in one folder.

It says the commands that do the same.
"""

from __future__ import annotations

import argparse
import json
import shlex
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from polyscore.cli import enhance, flags
from polyscore.cli.console import say
from polyscore.cli.report import Item, Report

__all__ = ["HELP", "add_arguments", "run"]

_DIGITS = 80

HELP = "enhance a noisy recording (yours, or one that ships), draw it before and after, and sample digits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A recording of the user's own, and where the files go."""
    parser.add_argument("input", nargs="?", type=Path, metavar="IN", help="a noisy recording (default: one that ships)")
    flags.add(parser, "out", "seed", "device", "threads", "report", "quiet", out={"default": Path("demo_output")})
    parser.set_defaults(model="speech-16k")


def run(args: argparse.Namespace) -> int:
    """Every part is tried; one that fails is reported and the others are done."""
    flags.threads(args.threads)
    from polyscore.errors import InputError

    if args.input is not None and not args.input.is_file():
        raise InputError(f"{args.input}: no such file; expected a recording (wav, flac, ogg or mp3)")
    with Report("demo", args) as report:
        report.device = str(flags.device(args.device))
        shipped = args.input is None
        noisy = _unpack(args.out, "noisy") if shipped else args.input
        enhanced = args.out / f"enhanced{noisy.suffix}"
        _enhance(report, args, noisy, enhanced)
        if report.exit_code == 0:
            with report.item(noisy, args.out / "spectrograms.png") as item:
                _draw(noisy, enhanced, item)
        if shipped and report.exit_code == 0:
            report.metrics = _scores(enhanced, noisy)
        with report.item("digits", args.out / "digits.png") as item:
            _sample(args, item)
        say(_summary(report), quiet=args.quiet)
    return report.exit_code


def _unpack(out: Path, name: str) -> Path:
    """Copy a recording of the package into the folder, as wav, which everything plays."""
    from polyscore.audio import io

    with resources.as_file(resources.files("polyscore.demo_data") / f"{name}.flac") as source:
        wave, form = io.read(source)
    target = out / f"{name}.wav"
    io.write(target, wave, io.format_for(target, form))
    return target


def _enhance(report: Report, args: argparse.Namespace, noisy: Path, enhanced: Path) -> None:
    """Run the verb `enhance`, and take over the items of its report."""
    words = [str(noisy), "--out", str(enhanced), "--model", args.model, "--seed", str(args.seed)]
    say(f"$ polyscore enhance {shlex.join(words)}", quiet=args.quiet)
    parser = argparse.ArgumentParser(prog="polyscore enhance")
    enhance.add_arguments(parser)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        more = ["--device", args.device, "--threads", str(args.threads), "--report", str(path), "--quiet"]
        parsed = parser.parse_args([*words, *more], argparse.Namespace(debug=args.debug))
        with report.item(noisy, enhanced) as item:
            enhance.run(parsed)
        if item["status"] == "done":
            content = json.loads(path.read_text(encoding="utf-8"))
            report.nfe = content["nfe"]
            report.items.pop()
            report.items += [Item(part) for part in content["items"]]


def _sample(args: argparse.Namespace, item: Item) -> None:
    """The picture that `polyscore sample` writes."""
    from polyscore.cli.samplers import make
    from polyscore.images import ImageGenerator
    from polyscore.pictures import grid, pixels, write_png

    words = ["--model", "digits", "-n", str(_DIGITS), "--seed", str(args.seed), "--out", str(args.out)]
    say(f"$ polyscore sample {shlex.join(words)}", quiet=args.quiet)
    model = ImageGenerator.from_pretrained("digits", device=flags.device(args.device))
    labels = [i % 10 for i in range(_DIGITS)]
    seeds = [args.seed + i for i in range(_DIGITS)]
    images = model.sample(labels, steps=10, sampler=make("dpmpp-2m"), seed=seeds)
    write_png(item["output"], grid(pixels(images), columns=10, zoom=6))
    item["count"] = _DIGITS


def _draw(noisy: Path, enhanced: Path, item: Item) -> None:
    from polyscore.audio import io
    from polyscore.audio.spectrogram_plot import draw_before_after

    (before, form), (after, _) = io.read(noisy), io.read(enhanced)
    draw_before_after(item["output"], before, after, form.rate)


def _scores(enhanced: Path, noisy: Path) -> dict[str, Any]:
    """SI-SDR in dB before and after: of the shipped recording the clean speech is known."""
    from polyscore.audio import io, metrics

    with resources.as_file(resources.files("polyscore.demo_data") / "clean.flac") as source:
        clean, _ = io.read(source)
    return {
        "si_sdr_noisy": float(metrics.si_sdr(io.read(noisy)[0], clean).mean()),
        "si_sdr": float(metrics.si_sdr(io.read(enhanced)[0], clean).mean()),
    }


def _summary(report: Report) -> str:
    outputs = dict.fromkeys(item["output"] for item in report.items if item["status"] == "done")
    lines = ["", *(f"  {output}" for output in outputs if output)]
    if report.metrics:
        before, after = report.metrics["si_sdr_noisy"], report.metrics["si_sdr"]
        lines.append(f"\nSI-SDR of the recording: {before:.1f} dB noisy, {after:.1f} dB enhanced.")
    return "\n".join(lines)
