"""``polyscore evaluate speech --clean DIR --enhanced DIR [--noisy DIR]``: the field's own scores of what a model made.

Files are paired by their path below each folder, without the ending. Each score is given per file (``--out``, a CSV), and as
mean, standard deviation and bootstrap interval (``--report``). With ``--noisy`` the scores of the unprocessed files stand
beside them, and how many files got better.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say, table, track
from polyscore.cli.report import Item, Report, mean, share

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["HELP", "add_arguments", "run", "pair", "METRICS"]

HELP = "score enhanced speech against its clean reference (SI-SDR, STOI, ESTOI, PESQ, log-spectral distance)"

METRICS = ("si_sdr", "stoi", "estoi", "pesq", "lsd")
_UNITS = {"si_sdr": "dB", "lsd": "dB"}
_LOWER_IS_BETTER = frozenset({"lsd"})
_PESQ_RATE = 16000

Score = Callable[["Tensor", "Tensor", int], "Tensor"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folders, and where the scores go."""
    parser.add_argument("--clean", required=True, type=Path, metavar="DIR", help="the clean references")
    parser.add_argument("--enhanced", required=True, type=Path, metavar="DIR", help="what a model made of the noisy files")
    parser.add_argument("--noisy", type=Path, metavar="DIR", help="the noisy files, to score what was gained")
    parser.add_argument(
        "--metrics",
        nargs="+",
        choices=METRICS,
        metavar="NAME",
        help=f"of {', '.join(METRICS)} (default: all that the installed packages compute)",
    )
    flags.add(
        parser,
        "out",
        "seed",
        "threads",
        "report",
        "quiet",
        out={"metavar": "FILE.csv", "help": "write the scores file by file"},
        seed={"help": "seed of the bootstrap (default: 0)"},
    )


def run(args: argparse.Namespace) -> int:
    """Score every pair; files without a partner fail, the others are done."""
    flags.threads(args.threads)
    scores = _scores(args.metrics)
    folders = {"clean": args.clean, "enhanced": args.enhanced} | ({"noisy": args.noisy} if args.noisy else {})
    with Report("evaluate", args) as report:
        report.device = "cpu"
        pairs = pair(folders)
        for name, files in track(pairs.items(), "scoring", total=len(pairs), quiet=args.quiet):
            with report.item(files.get("enhanced", name)) as item:
                item["name"] = name
                _score(name, files, folders, scores, item)
        report.metrics = _summary(report.items, list(scores), args.seed)
        if args.out is not None:
            _write_csv(args.out, report.items)
        say(_table(report.metrics), quiet=args.quiet)
    return report.exit_code


def pair(folders: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
    """Role -> folder becomes name -> role -> file, for every name in any of the folders, sorted.

    Raises:
        InputError: a folder that is none, holds no audio, or two files of one name.
    """
    from polyscore.audio.io import SUFFIXES
    from polyscore.errors import InputError

    pairs: dict[str, dict[str, Path]] = {}
    for role, folder in folders.items():
        if not folder.is_dir():
            raise InputError(f"--{role} {folder}: is no folder")
        files = [file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file()]
        files = sorted(file for file in files if not file.name.startswith("."))  # what a killed run left behind
        if not files:
            raise InputError(f"--{role} {folder}: holds no audio files ({', '.join(sorted(SUFFIXES))})")
        for file in files:
            entry = pairs.setdefault(str(file.relative_to(folder).with_suffix("")), {})
            if role in entry:
                raise InputError(f"--{role}: {entry[role]} and {file} have one name; files are paired by name without ending")
            entry[role] = file
    return dict(sorted(pairs.items()))


def _scores(names: Sequence[str] | None) -> dict[str, Score]:
    from polyscore.audio import metrics
    from polyscore.audio.io import resample
    from polyscore.cli.report import version
    from polyscore.errors import MissingExtraError

    def pesq(estimate: Tensor, clean: Tensor, rate: int) -> Tensor:
        return metrics.pesq(resample(estimate, rate, _PESQ_RATE), resample(clean, rate, _PESQ_RATE))

    all_scores: dict[str, Score] = {
        "si_sdr": lambda estimate, clean, rate: metrics.si_sdr(estimate, clean),
        "stoi": metrics.stoi,
        "estoi": metrics.estoi,
        "pesq": pesq,
        "lsd": lambda estimate, clean, rate: metrics.lsd(estimate, clean),
    }
    needs = {"stoi": "pystoi", "estoi": "pystoi", "pesq": "pesq"}
    absent = {name for name, package in needs.items() if version(package) is None}
    if names and absent & set(names):
        name = sorted(absent & set(names))[0]
        raise MissingExtraError(f"--metrics {name} needs the package {needs[name]}: pip install {needs[name]}")
    return {name: all_scores[name] for name in names or METRICS if name not in absent}


def _score(name: str, files: Mapping[str, Path], folders: Mapping[str, Path], scores: Mapping[str, Score], item: Item) -> None:
    from polyscore.audio.io import read
    from polyscore.errors import InputError

    missing = [f"--{role} {folder}" for role, folder in folders.items() if role not in files]
    if missing:
        raise InputError(f"{name}: has no file of that name in {' and '.join(missing)}")
    waves = {role: read(file) for role, file in files.items()}
    clean, form = waves["clean"]
    for role, (wave, other) in waves.items():
        if (other.rate, wave.shape) != (form.rate, clean.shape):
            raise InputError(
                f"{files[role]}: {wave.shape[-1]} samples, {wave.shape[0]} channels at {other.rate} Hz; expected those of "
                f"{files['clean']}: {clean.shape[-1]} samples, {clean.shape[0]} channels at {form.rate} Hz"
            )
    item.update(audio_seconds=clean.shape[-1] / form.rate, sample_rate=form.rate, channels=form.channels)
    if not clean.any():
        raise InputError(f"{files['clean']}: is silent; no score is defined")
    for metric, score in scores.items():
        item[metric] = float(score(waves["enhanced"][0], clean, form.rate).mean())
        if "noisy" in waves:
            item[f"{metric}_noisy"] = float(score(waves["noisy"][0], clean, form.rate).mean())


def _summary(items: Sequence[Item], names: Sequence[str], seed: int) -> dict[str, Any]:
    done = [item for item in items if item["status"] == "done"]
    metrics: dict[str, Any] = {}
    for name in names if done else ():
        metrics[name] = mean([item[name] for item in done], seed=seed)
        if f"{name}_noisy" in done[0]:
            gains = [item[name] - item[f"{name}_noisy"] for item in done]
            metrics[f"{name}_noisy"] = mean([item[f"{name}_noisy"] for item in done], seed=seed)
            metrics[f"{name}_gain"] = mean(gains, seed=seed)
            known = [gain for gain in gains if gain == gain]  # a score may be undefined (NaN) for a file
            better = sum(gain < 0 if name in _LOWER_IS_BETTER else gain > 0 for gain in known)
            if known:
                metrics[f"{name}_improved"] = share(better, len(known))
    return metrics


def _write_csv(path: Path, items: Sequence[Item]) -> None:
    from polyscore.hub.files import atomic_path

    columns = list(dict.fromkeys(key for item in items for key in item if key not in ("input", "output", "seconds")))
    columns = [key for key in columns if key not in ("name", "status", "error")]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["name", "status", *columns, "error"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows({key: value for key, value in item.items() if value is not None} for item in items)


def _table(metrics: Mapping[str, Any]) -> str:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    rows = []
    for name, value in metrics.items():
        low, high = value["ci95"] or (None, None)
        middle = value.get("mean", value.get("share"))
        unit = "share of files" if "share" in value else _UNITS.get(name.split("_noisy")[0].split("_gain")[0], "")
        rows.append((name, shown(middle), shown(value.get("std")), f"{shown(low)} .. {shown(high)}", str(value["n"]), unit))
    return table(("SCORE", "MEAN", "STD", "95 % INTERVAL", "N", "UNIT"), rows) if rows else "No file could be scored."
