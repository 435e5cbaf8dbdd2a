"""``polyscore evaluate speech --clean DIR --enhanced DIR [--noisy DIR]``: the field's own scores of what a model made.

Files are paired by their path below each folder, without the ending; a name without partner fails, and so does a file that cannot
be scored, and the others are done. Each score is given per file (``--out``, a CSV), and as mean, standard deviation and bootstrap
interval (``--report``). With ``--noisy`` the scores of the unprocessed files stand beside them, and how many files got better.
Without ``--clean`` there are the scores that need no reference (``--dnsmos``).
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from polyscore.cli import flags
from polyscore.cli.console import say, table, track
from polyscore.cli.item_table import write_items
from polyscore.cli.report import Item, Report, mean, share

if TYPE_CHECKING:
    from polyscore.audio.metrics.scores import Scorer

__all__ = ["HELP", "add_arguments", "run", "pair", "METRICS"]

HELP = "score enhanced speech against its clean reference (SI-SDR, STOI, ESTOI, PESQ, DNSMOS, distances of spectra)"

METRICS = ("si_sdr", "si_sir", "si_sar", "stoi", "estoi", "pesq", "pesq_nb", "lsd", "log_mel")


class _Result(NamedTuple):
    """What became of one recording."""

    fields: dict[str, Any]
    error: Exception | None
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folders, the scores, and where they go."""
    parser.add_argument(
        "--clean", type=Path, metavar="DIR", help="the clean references (without them there are the scores of --dnsmos)"
    )
    parser.add_argument("--enhanced", required=True, type=Path, metavar="DIR", help="what a model made of the noisy files")
    parser.add_argument("--noisy", type=Path, metavar="DIR", help="the noisy files, to score what was gained")
    parser.add_argument(
        "--metrics",
        nargs="+",
        choices=METRICS,
        metavar="NAME",
        help=f"of {', '.join(METRICS)} (default: all that the installed packages compute, without pesq_nb; si_sir and si_sar "
        "need --noisy)",
    )
    parser.add_argument(
        "--dnsmos",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE.onnx",
        help="score without a reference too: sig_bak_ovr.onnx (P.835) and model_v8.onnx (P.808) of microsoft/DNS-Challenge",
    )
    parser.add_argument(
        "--jobs", type=flags.whole(1), default=1, metavar="N", help="score N files at a time, each in a process (default: 1)"
    )
    flags.add(
        parser,
        *flags.SCORE,
        out={"metavar": "FILE.csv", "help": "write the scores file by file"},
        seed={"help": "seed of the bootstrap (default: 0)"},
    )


def run(args: argparse.Namespace) -> int:
    """Score every pair; files without a partner fail, the others are done."""
    flags.threads(args.threads)
    with Report("evaluate", args) as report:
        report.device = "cpu"
        scorer = _scorer(args)
        folders = {role: folder for role in ("clean", "enhanced", "noisy") if (folder := getattr(args, role)) is not None}
        pairs = pair(folders)
        work = functools.partial(_measure, scorer, folders)
        results = _results(work, list(pairs.items()), args)
        for (name, files), result in zip(
            track(pairs.items(), "scoring", total=len(pairs), quiet=args.quiet), results, strict=True
        ):
            with report.item(files.get("enhanced", name)) as item:
                item["name"] = name
                item.update(result.fields)
                if result.error is not None:
                    raise result.error
            item["seconds"] = round(result.seconds, 6)
        report.metrics = _summary(report.items, args.seed)
        if args.out is not None:
            write_items(args.out, report.items)
        say(_table(report.metrics), quiet=args.quiet)
    return report.exit_code


def pair(folders: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
    """Role -> folder becomes name -> role -> file, for every name in any of the folders, sorted.

    Raises:
        InputError: a folder that is none, may not be read or holds no audio, or two files of one name.
    """
    import os

    from polyscore.audio.io import SUFFIXES
    from polyscore.errors import InputError

    pairs: dict[str, dict[str, Path]] = {}
    for role, folder in folders.items():
        if not folder.is_dir():
            raise InputError(f"--{role} {folder}: is no folder")
        if not os.access(folder, os.R_OK | os.X_OK):
            raise InputError(f"--{role} {folder}: no permission to read it")
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


def _scorer(args: argparse.Namespace) -> Scorer:
    from polyscore.audio.metrics.scores import OF_THE_NOISE, Scorer
    from polyscore.errors import InputError

    if args.clean is None and (args.metrics or not args.dnsmos):
        raise InputError("--clean: expected the folder of the clean references; only the scores of --dnsmos need none")
    needing = [name for name in args.metrics or () if name in OF_THE_NOISE]
    if needing and args.noisy is None:
        raise InputError(f"--metrics {needing[0]}: needs the noisy files; give --noisy DIR")
    return Scorer(args.metrics, args.dnsmos)


def _results(work: Any, pairs: Sequence[Any], args: argparse.Namespace) -> Iterator[_Result]:
    """The result of every pair, in order."""
    if args.jobs == 1 or len(pairs) == 1:
        yield from map(work, pairs)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    from polyscore.errors import PolyscoreError

    jobs = min(args.jobs, len(pairs))
    context = multiprocessing.get_context("spawn")  # a forked process inherits locks that threads hold
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=flags.threads, initargs=(args.threads,)) as pool:
        try:
            yield from pool.map(work, pairs, chunksize=min(8, -(-len(pairs) // (4 * jobs))))
        except BrokenProcessPool as error:
            raise PolyscoreError("a process that scored files was ended from outside (no memory?); try fewer --jobs") from error


def _measure(scorer: Scorer, folders: Mapping[str, Path], job: tuple[str, Mapping[str, Path]]) -> _Result:
    started, fields, error = time.perf_counter(), dict[str, Any](), None
    try:
        _score(scorer, folders, job, fields)
    except Exception as reason:  # noqa: BLE001 - the next file goes on; the report says what this one had
        error = reason
    return _Result(fields, error, time.perf_counter() - started)


def _score(scorer: Scorer, folders: Mapping[str, Path], job: tuple[str, Mapping[str, Path]], fields: dict[str, Any]) -> None:
    from polyscore.audio.io import read
    from polyscore.audio.metrics.scores import align
    from polyscore.errors import InputError

    name, files = job
    missing = [f"--{role} {folder}" for role, folder in folders.items() if role not in files]
    if missing:
        raise InputError(f"{name}: has no file of that name in {' and '.join(missing)}")
    read_files = {role: read(file) for role, file in files.items()}
    for role, (wave, _) in read_files.items():
        if not wave.isfinite().all():
            lost = f"{int((~wave.isfinite()).sum())} of {wave.numel()} samples are NaN or infinite"
            raise InputError(f"{files[role]}: {lost}; no score is defined")
    try:
        waves, rate, cut = align({role: (wave, form.rate) for role, (wave, form) in read_files.items()})
    except InputError as error:
        raise InputError(f"{files['enhanced']}: {error}") from error
    clean, enhanced, noisy = (waves.get(role) for role in ("clean", "enhanced", "noisy"))
    assert enhanced is not None
    fields.update(audio_seconds=enhanced.shape[-1] / rate, sample_rate=rate, channels=enhanced.shape[0])
    if cut:
        fields["cut_seconds"] = cut
    if clean is not None and not clean.any():
        raise InputError(f"{files['clean']}: is silent; no score is defined")
    fields.update(scorer(enhanced, clean, rate, noisy=noisy))
    if noisy is not None:
        before = scorer(noisy, clean, rate)
        fields.update({f"{metric}_noisy": value for metric, value in before.items()})


def _summary(items: Sequence[Item], seed: int) -> dict[str, Any]:
    from polyscore.audio.metrics.scores import LOWER_IS_BETTER

    done = [item for item in items if item["status"] == "done"]
    scores = [key for key in (done[0] if done else ()) if key in METRICS or key.startswith("dnsmos_")]
    metrics: dict[str, Any] = {}
    for name in scores:
        if name.endswith("_noisy"):
            continue
        metrics[name] = mean([item[name] for item in done], seed=seed)
        if f"{name}_noisy" in done[0]:
            gains = [item[name] - item[f"{name}_noisy"] for item in done]
            metrics[f"{name}_noisy"] = mean([item[f"{name}_noisy"] for item in done], seed=seed)
            metrics[f"{name}_gain"] = mean(gains, seed=seed)
            known = [gain for gain in gains if gain == gain]  # a score may be undefined (NaN) for a file
            better = sum(gain < 0 if name in LOWER_IS_BETTER else gain > 0 for gain in known)
            if known:
                metrics[f"{name}_improved"] = share(better, len(known))
    return metrics


def _table(metrics: Mapping[str, Any]) -> str:
    """One line a score: its mean and interval, or, where the noisy files were scored, what was gained."""

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    def interval(value: Mapping[str, Any]) -> str:
        return " .. ".join(shown(end) for end in value["ci95"] or (None, None))

    gained = any(name.endswith("_gain") for name in metrics)
    rows = []
    for name in (name for name in metrics if not name.endswith(("_noisy", "_gain", "_improved"))):
        value, unit = metrics[name], "dB" if name.startswith(("si_", "lsd", "log_mel")) else ""
        row: tuple[str, ...] = (name, shown(value["mean"]), shown(value["std"]), interval(value), str(value["n"]))
        if gained:
            nothing: dict[str, Any] = {"mean": None, "ci95": None, "share": None}
            gain, better = (metrics.get(f"{name}_{what}", nothing) for what in ("gain", "improved"))
            row = (*row, shown(gain["mean"]), interval(gain), "-" if better["share"] is None else f"{better['share']:.0%}")
        rows.append((*row, unit))
    head = ("SCORE", "MEAN", "STD", "95 % INTERVAL", "N", *(("GAIN", "95 % OF THE GAIN", "BETTER") if gained else ()), "UNIT")
    return table(head, rows) if rows else "No file could be scored."
