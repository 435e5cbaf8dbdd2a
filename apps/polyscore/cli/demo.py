"""``polyscore demo [IN]``: what every shipped model does, in one folder and on one page, ``index.html``, that needs no network.

Each part runs the commands that the page shows (:mod:`polyscore.cli.demo_parts`), in a folder of its own, and leaves their
report there. A part whose extra is not installed is skipped and says how to install it; one that fails does not stop the
others, is named at the end, and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polyscore.cli import demo_page, flags
from polyscore.cli.console import say
from polyscore.cli.demo_figures import Made
from polyscore.cli.demo_parts import PARTS, RECORDING, TRAINED, Part
from polyscore.cli.report import Item, Report
from polyscore.errors import InputError, MissingExtraError, PolyscoreError

__all__ = ["HELP", "add_arguments", "run"]

HELP = "every shipped model at work, on one HTML page: speech, pictures, molecules, music, shapes, video, a robot"

_FLAGS: dict[str, tuple[str, ...]] = {"data": (), "fit": ("threads",)}
"""What a verb takes of the demo's own flags, where that is not all of them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A recording of the user's own, which parts, and where the files go."""
    parser.add_argument("input", nargs="?", type=Path, metavar="IN", help="a noisy recording (default: one that ships)")
    flags.add(
        parser,
        "out",
        "seed",
        "device",
        "threads",
        "report",
        "quiet",
        out={"default": Path("demo_output"), "metavar": "DIR", "help": "folder for page and files (default: demo_output)"},
        report={"help": "where the report goes (default: report.json in the folder)"},
    )
    names = ",".join(part.name for part in PARTS)
    parser.add_argument("--only", type=_names, metavar="A,B", help=f"these parts (default: {names})")
    parser.add_argument(
        "--train-robot",
        action="store_true",
        help="train the policy that is filmed, on 500 demonstrations recorded now (some minutes)",
    )


def run(args: argparse.Namespace) -> int:
    """Every part is tried; then the page is written."""
    flags.threads(args.threads)
    if args.input is not None and not args.input.is_file():
        raise InputError(f"{args.input}: no such file; expected a recording (wav, flac, ogg or mp3)")
    parts = _chosen(args)
    args.report = args.report or args.out / "report.json"
    page = args.out / "index.html"
    with Report("demo", args) as report:
        report.device = str(flags.device(args.device))
        for number, part in enumerate(parts, 1):
            say(f"[{number}/{len(parts)}] {part.title}", quiet=args.quiet)
            folder = args.out / part.name
            with report.item(part.name, folder) as item:
                report.metrics[part.name] = {}
                _make(part, folder, item, report.metrics[part.name], args)
            say(f"    {item.get('figure', item['status'])} ({item['seconds']:.0f} s)", quiet=args.quiet)
        demo_page.write(page, report.as_dict(), parts)
        say(_summary(report, page), quiet=args.quiet)
    return report.exit_code


def _chosen(args: argparse.Namespace) -> list[Part]:
    """The parts that are wanted, in the form that is wanted."""
    forms = {RECORDING.name: RECORDING} if args.input is not None else {}
    if args.train_robot:
        forms[TRAINED.name] = TRAINED
    return [forms.get(part.name, part) for part in PARTS if not args.only or part.name in args.only]


def _make(part: Part, folder: Path, item: Item, numbers: dict[str, Any], args: argparse.Namespace) -> None:
    """Prepare, run the commands, measure; what the page needs is written into the item and the numbers."""
    absent = [name for name in part.needs if find_spec(name) is None]
    if absent:
        item.skip(f"needs {' and '.join(absent)}: pip install 'polyscore[{part.extra}]'")
        return
    folder.mkdir(parents=True, exist_ok=True)
    source = args.input or folder / "noisy.wav"
    words: dict[str, object] = {"dir": folder, "input": source, "suffix": source.suffix}
    lines = [_filled(command, words, args.seed) for command in part.commands]
    item["title"], item["commands"] = part.title, [f"polyscore {shlex.join(line)}" for line in lines]
    try:
        if part.prepare is not None:
            part.prepare(folder)
        for line in lines:
            say(f"    $ polyscore {shlex.join(line)}", quiet=args.quiet)
            _forget(folder)
            made = Made(folder, _call(line, folder, args))
    except MissingExtraError as error:
        item.skip(str(error))
        return
    _forget(folder)
    item["figure"], found = part.figure(made)
    item["shown"] = [name.format(**words) for name in part.shown]
    numbers.update(found)


def _call(line: Sequence[str], folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Run a verb; its report.

    Raises:
        PolyscoreError: it failed.
    """
    from polyscore.cli import main

    verb, path = main.load(line[0]), folder / "report.json"
    given = {"device": args.device, "threads": str(args.threads), "report": str(path)}
    more = [word for name in _FLAGS.get(line[0], tuple(given)) for word in (f"--{name}", given[name])]
    parsed = main.parse(line[0], verb, [*line[1:], *more, "--quiet"])
    parsed.debug = args.debug
    code = verb.run(parsed)
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if "--report" in more else {}
    if code:
        errors = [item["error"] for item in report.get("items", ()) if item["status"] == "failed"]
        raise PolyscoreError(f"`polyscore {line[0]}` failed: {errors[0] if errors else f'it ended with code {code}'}")
    return report


def _filled(command: str, words: dict[str, object], seed: int) -> list[str]:
    """The words of a command; the seed is that of the demo, unless the command has its own."""
    line = [word.format(**words) for word in shlex.split(command)]
    return line if "--seed" in line or line[0] == "fit" else [*line, "--seed", str(seed)]


def _forget(folder: Path) -> None:
    """Remove the parts of a finished or broken run, with which the next one would go on; its results stay."""
    if (folder / "shards" / "shards.json").is_file():
        shutil.rmtree(folder / "shards")


def _names(text: str) -> tuple[str, ...]:
    known, names = [part.name for part in PARTS], tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' is no part; expected some of {', '.join(known)}")
    return names


def _summary(report: Report, page: Path) -> str:
    left = [f"  {item['input']} was {item['status']}: {item['error']}" for item in report.items if item["status"] != "done"]
    done = sum(item["status"] == "done" for item in report.items)
    return "\n".join(["", f"{done} of {len(report.items)} parts: {page}", *left])
