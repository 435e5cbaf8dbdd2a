"""``polyscore evaluate music A [--reference B]``: the numbers of MIDI files, and how they differ from others.

Every file is scored by itself (``--out``, a CSV): muspy's statistics, and voice leading where at least two tracks can be read as
voices. The set is scored as means with bootstrap intervals (``--report``). With ``--reference`` there are the divergences of
pitch, duration and the time between onsets, and the similarity of neighbouring windows; files of the same name in both are
compared chord by chord. With ``--model`` a composer says how many nats a token costs it, on files that have its voices.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say, table, track
from polyscore.cli.item_table import write_items
from polyscore.cli.report import Item, Report, mean, share

if TYPE_CHECKING:
    from polyscore.music.score import Score

__all__ = ["HELP", "add_arguments", "run"]

HELP = "score MIDI files: muspy's statistics, voice leading, divergences, chord accuracy, likelihood"

_SUFFIXES = (".mid", ".midi", ".kar", ".smf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The files, what they are compared with, and where the scores go."""
    parser.add_argument("music", type=Path, metavar="PATH", help="a MIDI file, or a folder of them")
    parser.add_argument("--reference", type=Path, metavar="PATH", help="music it should be like; files of one name are compared")
    parser.add_argument("--model", metavar="NAME|DIR", help="a composer (chorale) whose nats a token are measured")
    parser.add_argument(
        "--per-beat", type=flags.whole(1), default=4, metavar="N", help="positions a quarter note of the raster (default: 4)"
    )
    flags.add(
        parser,
        *flags.SCORE,
        out={"metavar": "FILE.csv", "help": "write the scores file by file"},
        seed={"help": "seed of the bootstrap and of the hidden cells (default: 0)"},
    )


def run(args: argparse.Namespace) -> int:
    """Score every file; those that cannot be read fail, the others are done."""
    flags.threads(args.threads)
    with Report("evaluate", args) as report:
        report.device = "cpu"
        files = _files(args.music)
        reference = _read(_files(args.reference)) if args.reference is not None else {}
        scores: dict[str, Score] = {}
        for name, file in track(files.items(), "scoring", total=len(files), quiet=args.quiet):
            with report.item(file) as item:
                item["name"] = name
                scores[name] = _one(file)
                item.update(_statistics(scores[name], args.per_beat))
                if name in reference:
                    from polyscore.music.metrics.distances import chord_accuracy

                    item["chords_right"], item["bars"] = chord_accuracy(scores[name], reference[name])
        report.metrics = _summary(report.items, args.seed)
        if reference:
            report.metrics.update(_compared(list(scores.values()), list(reference.values()), args.per_beat))
        if args.model is not None:
            report.metrics.update(_likelihood(list(scores.values()), args))
        if args.out is not None:
            write_items(args.out, report.items)
        say(_table(report.metrics), quiet=args.quiet)
    return report.exit_code


def _files(path: Path) -> dict[str, Path]:
    """Name (below the folder, without its ending) -> file.

    Raises:
        InputError: nothing there, or a folder without MIDI files.
    """
    from polyscore.errors import InputError

    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise InputError(f"{path}: there is no such file or folder")
    found = sorted(f for f in path.rglob("*") if f.suffix.lower() in _SUFFIXES and f.is_file() and not f.name.startswith("."))
    if not found:
        raise InputError(f"{path}: holds no MIDI files ({', '.join(_SUFFIXES)})")
    return {str(file.relative_to(path).with_suffix("")): file for file in found}


def _one(file: Path) -> Score:
    from polyscore.music.midi import read_midi

    return read_midi(file)


def _read(files: Mapping[str, Path]) -> dict[str, Score]:
    return {name: _one(file) for name, file in files.items()}


def _statistics(score: Score, per_beat: int) -> dict[str, float]:
    """muspy's numbers, and voice leading of the tracks with pitches, the highest first."""
    import numpy as np

    from polyscore.music.grid import grid_of
    from polyscore.music.metrics.muspy_set import muspy_metrics
    from polyscore.music.metrics.voice_leading import counterpoint

    bar = max(round(score.bar_length(score.meter_at(score.pickup)) / score.ticks_per_beat * per_beat), 1)
    found: dict[str, float] = muspy_metrics(score, per_beat=per_beat, measure=bar)
    tracks = [i for i, part in enumerate(score.tracks) if len(part) and not part.is_drum]
    if len(tracks) >= 2:
        tracks.sort(key=lambda i: -float(np.mean(score.tracks[i].notes["pitch"])))
        grid, _ = grid_of(score, tracks, per_beat=per_beat)
        found |= {f"voices_{name}": value for name, value in counterpoint([grid])._asdict().items()}
    return found


def _summary(items: Sequence[Item], seed: int) -> dict[str, Any]:
    """The mean of every number over the files that have it; chords right of all bars compared."""
    fields = ("input", "output", "status", "error", "seconds", "name", "chords_right", "bars")
    names = dict.fromkeys(key for item in items for key in item if key not in fields)
    out: dict[str, Any] = {"files": sum(item["status"] == "done" for item in items)}
    for name in names:
        values = [item[name] for item in items if math.isfinite(item.get(name, math.nan))]
        if values:
            out[name] = mean(values, seed=seed)
    bars = sum(item.get("bars", 0) for item in items)
    if bars:
        out["chord_accuracy"] = share(sum(item.get("chords_right", 0) for item in items), bars)
    return out


def _compared(scores: Sequence[Score], reference: Sequence[Score], per_beat: int) -> dict[str, float]:
    from polyscore.music.metrics.distances import divergences, similarity_scores

    kl = {f"kl_{name}": value for name, value in divergences(scores, reference, per_beat=per_beat).items()}
    return kl | similarity_scores(scores, reference)


def _likelihood(scores: Sequence[Score], args: argparse.Namespace) -> dict[str, Any]:
    """Nats a token, of the files with as many tracks as the model has voices, the highest first."""
    import numpy as np

    from polyscore.errors import InputError
    from polyscore.music.grid import grid_of
    from polyscore.music.metrics.likelihood import nats_per_token
    from polyscore.music.pipeline import Composer

    model = Composer.from_pretrained(args.model)
    fitting = [score for score in scores if len(score.tracks) == len(model.voices)]
    if not fitting:
        raise InputError(f"--model {args.model}: no file has {len(model.voices)} tracks ({', '.join(model.voices)})")
    grids = []
    for score in fitting:
        order = sorted(range(len(score.tracks)), key=lambda i: -float(np.mean(score.tracks[i].notes["pitch"])))
        grids.append(grid_of(score, order, per_beat=model.per_beat)[0])
    value, error = nats_per_token(model, grids, seed=args.seed)
    return {"nats_per_token": {"value": value, "n": len(grids), "ci95": [value - 1.96 * error, value + 1.96 * error]}}


def _table(metrics: Mapping[str, Any]) -> str:
    def digits(value: float | None) -> str:
        return "-" if value is None or not math.isfinite(value) else f"{value:.4f}"

    rows = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            low, high = value["ci95"] or (None, None)
            middle = next(value[key] for key in ("share", "mean", "value") if key in value)
            rows.append((name, digits(middle), f"{digits(low)} .. {digits(high)}", str(value["n"])))
        elif isinstance(value, float):
            rows.append((name, digits(value), "", ""))
    return table(("SCORE", "VALUE", "95 % INTERVAL", "N"), rows)
