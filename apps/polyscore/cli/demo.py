"""``polyscore demo [IN]``: what the shipped models do, in one folder: a recording made clean, digits, a robot, molecules.

It says the commands that do the same. A domain adds its part as one function ``(report, args)`` in ``PARTS``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import tempfile
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from polyscore.cli import demo_robots, enhance, flags, molecules
from polyscore.cli.console import say
from polyscore.cli.report import Item, Report

__all__ = ["HELP", "PARTS", "add_arguments", "run"]

_DIGITS = 80
_MOLECULES = 24

HELP = "enhance a noisy recording (yours, or one that ships), draw it before and after, sample digits and molecules, film a robot"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A recording of the user's own, and where the files go."""
    parser.add_argument("input", nargs="?", type=Path, metavar="IN", help="a noisy recording (default: one that ships)")
    flags.add(parser, "out", "seed", "device", "threads", "report", "quiet", out={"default": Path("demo_output")})
    demo_robots.add_arguments(parser)
    parser.set_defaults(model="speech-16k")


def run(args: argparse.Namespace) -> int:
    """Every part is tried; one that fails is reported and the others are done."""
    flags.threads(args.threads)
    from polyscore.errors import InputError

    if args.input is not None and not args.input.is_file():
        raise InputError(f"{args.input}: no such file; expected a recording (wav, flac, ogg or mp3)")
    with Report("demo", args) as report:
        report.device = str(flags.device(args.device))
        for part in PARTS:
            part(report, args)
        say(_summary(report), quiet=args.quiet)
    return report.exit_code


def _speech(report: Report, args: argparse.Namespace) -> None:
    """A recording before and after, and its spectrograms."""
    shipped = args.input is None
    noisy = _unpack(args.out, "noisy") if shipped else args.input
    enhanced = args.out / f"enhanced{noisy.suffix}"
    _enhance(report, args, noisy, enhanced)
    if report.exit_code == 0:
        with report.item(noisy, args.out / "spectrograms.png") as item:
            _draw(noisy, enhanced, item)
    if shipped and report.exit_code == 0:
        report.metrics = _scores(enhanced, noisy)


def _digits(report: Report, args: argparse.Namespace) -> None:
    """The picture that `polyscore sample` writes."""
    with report.item("digits", args.out / "digits.png") as item:
        _sample(args, item)


def _molecules(report: Report, args: argparse.Namespace) -> None:
    """The page, table and pictures that `polyscore molecules` writes; those of an earlier run are replaced."""
    folder = args.out / "molecules"
    words = ["--model", "qm9", "-n", str(_MOLECULES), "--seed", str(args.seed)]
    say(f"$ polyscore molecules {shlex.join([*words, '--out', str(folder)])}", quiet=args.quiet)
    with report.item("qm9", folder / "report.html") as item:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=args.out) as place:
            made = Path(place) / "molecules"
            content = _verb(molecules, [*words, "--out", str(made)], args, made / "report.json")
            for path in sorted(made.iterdir()):
                if path.is_file():
                    path.replace(folder / path.name)
        item["count"] = content["metrics"]["molecules"]


PARTS: Sequence[Callable[[Report, argparse.Namespace], None]] = (_speech, _digits, demo_robots.run, _molecules)


def _verb(verb: Any, words: Sequence[str], args: argparse.Namespace, report: Path) -> dict[str, Any]:
    """Run a verb with these words; its report."""
    parser = argparse.ArgumentParser(prog="polyscore")
    verb.add_arguments(parser)
    more = ["--device", args.device, "--threads", str(args.threads), "--report", str(report), "--quiet"]
    verb.run(parser.parse_args([*words, *more], argparse.Namespace(debug=args.debug)))
    content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return content


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
    with tempfile.TemporaryDirectory() as folder, report.item(noisy, enhanced) as item:
        content = _verb(enhance, words, args, Path(folder) / "report.json")
    if item["status"] == "done":
        report.nfe = content["nfe"]
        report.items.pop()
        report.items += [Item(part) for part in content["items"]]


def _sample(args: argparse.Namespace, item: Item) -> None:
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
