"""``polyscore compose [song.mid] -o DIR``: the tracks, bars or voices that a piece lacks, or a new piece.

For every variation ``DIR`` gets ``NAME-1.mid`` (what was kept is bit for bit what it was), ``NAME-1_roll.png`` (a piano roll,
new notes hatched) and ``NAME-1_preview.wav``; ``report.json`` tells how the tracks were read, what the model's raster could not
hold, the transposition, seconds and network calls. Variation i depends on seed + i alone. A run ends: the number of network calls
is bounded before it begins.
"""

from __future__ import annotations

import argparse
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.compose_wish import bars_of, chords_of, key_of, meter_of, names_of, part_of
from polyscore.cli.console import say, track
from polyscore.cli.report import Report
from polyscore.errors import InputError

if TYPE_CHECKING:
    from polyscore.music.score import Score
    from polyscore.music.wish import Arranger, Blank, Wish

__all__ = ["HELP", "add_arguments", "run"]

HELP = "write music: missing tracks, voices or bars of a MIDI file, a continuation, or a new piece"

ORDERS = ("lattice", "random", "fhs", "confidence")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which piece, what of it is written, by which model and in which order, and where to."""
    parser.add_argument("song", nargs="?", type=Path, metavar="SONG", help="a MIDI (.mid) or MusicXML (.musicxml, .mxl) file")
    what = parser.add_argument_group("what is written")
    what.add_argument("--new", action="store_true", help="a new piece of --bars N bars (default: 8)")
    what.add_argument("--harmonise", type=Path, metavar="FILE", help="the other voices to the tune in this file")
    what.add_argument("--keep", type=names_of, default=(), metavar="A,B", help="parts that stay; parts not named are left out")
    what.add_argument("--fill", type=names_of, default=(), metavar="A,B", help="parts that are written (default: those missing)")
    what.add_argument("--bars", type=bars_of, metavar="N|A-B", help="bars that are written, as in 9-12; with --new how many")
    what.add_argument("--continue", dest="further", type=flags.whole(1), default=0, metavar="N", help="N more bars at the end")
    what.add_argument("--chords", type=chords_of, default=(), metavar="NAMES", help='a chord a bar: "C G Am F" (default: auto)')
    what.add_argument(
        "--part", type=part_of, action="append", default=[], metavar="I=PART", help="what track I (from 0) plays, if misread"
    )
    what.add_argument("--key", type=key_of, metavar="NAME", help='key of a new piece: "G", "F# minor" (default: C)')
    what.add_argument("--meter", type=meter_of, default=(4, 4), metavar="N/D", help="meter of a new piece (default: 4/4)")
    what.add_argument("--tempo", type=flags.finite, default=80.0, metavar="BPM", help="tempo of a new piece (default: 80)")
    how = parser.add_argument_group("how")
    flags.add(
        parser,
        *(name for name in flags.RUN if name not in ("sampler", "batch_size")),
        model={"help": "a shipped model (default: chorale), a saved one, or a GETMusic checkpoint (.pth)"},
        out={"required": True, "metavar": "DIR", "help": "folder for the files"},
        seed={"help": "seed of the first variation, the next has the next (default: 0)"},
        steps={"help": "network calls in which everything is written once (default: the model's own); `fhs` takes one a cell"},
        report={"help": "where the report goes (default: report.json in the folder)"},
    )
    how.add_argument("--style", metavar="NAME", help="the shipped model of this style; the same as --model")
    how.add_argument("--variations", type=flags.whole(1), default=1, metavar="N", help="how many (default: 1)")
    how.add_argument(
        "--order",
        choices=ORDERS,
        help="lattice: cells far apart, then sweeps of second thoughts; random; fhs: one cell a call, exact; confidence: the "
        "surest first, which prefers held notes (default: the model's own, lattice)",
    )
    how.add_argument("--sweeps", type=flags.whole(0), metavar="N", help="second thoughts, N calls (default: the model's own)")
    how.add_argument(
        "--repairs", type=flags.whole(0), metavar="N", help="redraw what counterpoint forbids, at most N times (default: own)"
    )
    how.add_argument("--temperature", type=flags.finite, metavar="T", help="below 1 is safer (default: 1)")
    how.add_argument("--top-p", type=flags.finite, metavar="P", help="only the likeliest with this share (default: 1)")
    how.add_argument("--no-roll", action="store_true", help="leave out the piano rolls")
    how.add_argument("--no-preview", action="store_true", help="leave out the sound")
    how.add_argument("--dry-run", action="store_true", help="say how the tracks are read and what would be written, and stop")


def run(args: argparse.Namespace) -> int:
    """Read, write, and save."""
    flags.threads(args.threads)
    from polyscore.cli.compose_files import Saver, load_arranger, read_song

    _check(args)
    args.model = args.model or args.style or "chorale"
    source = args.harmonise or args.song
    args.report = None if args.dry_run else args.report or args.out / "report.json"
    with Report("compose", args) as report:
        device = flags.device(args.device)
        piece = _blank(args) if args.new else read_song(source)
        arranger = load_arranger(args.model, device)
        draft = arranger.begin(piece, _wish(args, arranger, piece))
        for line in (*map(str, draft.readings), *draft.remarks):
            say(line, quiet=args.quiet)
        if args.dry_run:
            say(f"{draft.facts['hidden_cells']} cells would be written, {args.variations} times; dry run", quiet=args.quiet)
            return report.exit_code
        saver = Saver(args, draft, stem=args.model if args.new else source.stem)
        seeds = [args.seed + i for i in range(args.variations)]
        [written] = deque(track(arranger.write(draft, seeds, _method(args, arranger)), "writing", quiet=args.quiet), maxlen=1)
        report.device, report.nfe = str(device), written.calls
        for i, outcome in enumerate(arranger.finish(draft, written)):
            with report.item(None if source is None else source, saver.midi(i)) as item:
                item.update(seed=seeds[i], **saver.save(i, outcome))
        report.metrics = {**draft.facts, "remarks": list(draft.remarks)}
        many = "s" * (args.variations > 1)
        say(f"{args.variations} variation{many}, {written.calls} network calls: {args.out}", quiet=args.quiet)
    return report.exit_code


def _check(args: argparse.Namespace) -> None:
    sources = [name for name, there in (("SONG", args.song), ("--new", args.new), ("--harmonise", args.harmonise)) if there]
    if len(sources) != 1:
        found = " and ".join(sources) or "nothing"
        raise InputError(f"compose: {found} given; expected one of SONG, --new, --harmonise FILE")
    if args.model and args.style:
        raise InputError("--style names a shipped model, as --model does; give one of them")
    local = [flag for flag, there in (("--keep", args.keep), ("--fill", args.fill), ("--continue", args.further)) if there]
    if args.new and local:
        raise InputError(f"{local[0]}: a new piece has nothing to keep or to continue; give a SONG")
    if args.new and args.bars and args.bars[0] != args.bars[1] and args.bars[0] != 1:
        raise InputError("--new --bars: expected how many, as in --bars 16")
    if args.harmonise and (args.bars or args.further):
        raise InputError("--harmonise writes whole voices; with --bars or --continue give the file as SONG")
    if args.temperature is not None and not args.temperature > 0:
        raise InputError(f"--temperature {args.temperature}; expected a positive number")
    if args.top_p is not None and not 0 < args.top_p <= 1:
        raise InputError(f"--top-p {args.top_p}; expected a share in (0, 1]")


def _blank(args: argparse.Namespace) -> Blank:
    from polyscore.music.wish import Blank

    blank = Blank(args.bars[1] if args.bars else 8, args.meter, args.tempo)
    return blank if args.key is None else replace(blank, key=args.key)


def _wish(args: argparse.Namespace, arranger: Arranger, piece: Score | Blank) -> Wish:
    from polyscore.music.wish import Wish

    keep = args.keep
    if args.harmonise and not keep and not args.fill:
        keep = arranger.parts[:1]
    bars = None if args.new else args.bars
    return Wish(keep, args.fill, bars, args.further, args.chords, dict(args.part))


def _method(args: argparse.Namespace, arranger: Arranger) -> Any:
    """The model's way of writing, with what was asked for."""
    asked = {name: getattr(args, name) for name in ("order", "steps", "sweeps", "repairs", "temperature", "top_p")}
    return arranger.method(**{name: value for name, value in asked.items() if value is not None})
