"""The work of ``polyscore rollout --sweep``: success over sampler, steps, schedule, history and guidance, in several processes.

Every cell, one choice of settings, is a file ``cells/NAME.json`` with its episodes; all cells have the same episodes. A cell
whose file is there and was made by the same policy with the same episodes is not made again, so a sweep that was stopped goes on.
``sweep.png`` shows full success over steps and guidance, a panel for every other choice; with three or more scales of guidance
``guidance.png`` shows reward and result over them.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say, table, track
from polyscore.cli.intervals import mean, share
from polyscore.cli.report import Report
from polyscore.errors import InputError

if TYPE_CHECKING:
    from polyscore.robots import Policy

__all__ = ["AXES", "axes", "run"]

AXES = {"sampler": str, "steps": int, "schedule": str, "history": str, "cfg": float}
_DEFAULT = ("sampler=ddim,heun,euler_ancestral", "steps=1,3,5,10", "cfg=1,1.5")

Cell = Mapping[str, Any]


def axes(words: Sequence[str]) -> dict[str, list[Any]]:
    """`["steps=1,3", "cfg=1,2"]` as `{"steps": [1, 3], "cfg": [1.0, 2.0]}`; no words stand for the default.

    Raises:
        InputError: an unknown axis, one that is named twice, or a value of another kind.
    """
    out: dict[str, list[Any]] = {}
    for word in words or _DEFAULT:
        name, _, values = word.partition("=")
        if name not in AXES or name in out or not values:
            raise InputError(f"--sweep {word}: expected AXIS=VALUE,VALUE,... with every axis once, of {', '.join(AXES)}")
        try:
            out[name] = [AXES[name](value) for value in values.split(",")]
        except ValueError:
            raise InputError(f"--sweep {word}: {values} are no values of {name}") from None
        if name == "cfg" and not all(math.isfinite(value) for value in out[name]):
            raise InputError(f"--sweep {word}: expected finite numbers")
    return out


def run(args: argparse.Namespace, policy: Policy, report: Report) -> None:
    """Make the cells that are missing, then the table, the pictures and the report.

    Raises:
        InputError: settings that no policy has.
    """
    chosen = axes(args.sweep)
    cells = [dict(zip(chosen, values, strict=True)) for values in itertools.product(*chosen.values())]
    for cell in cells:
        _settings(policy, cell)  # a wrong name is said before the first episode
    folder = args.out / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    common = {"policy": _fingerprint(policy), "own": repr(policy.sampling), "episodes": args.episodes, "seed": args.seed}
    common |= {"delay": args.simulate_latency, "env": args.env, "task": args.task}
    jobs = [(folder / f"{_name(cell)}.json", {**common, "cell": cell}) for cell in cells]
    missing = [(path, key) for path, key in jobs if _read(path, key) is None]
    made = dict(track(_make(args, missing), "cells", total=len(missing), quiet=args.quiet))
    results = []
    for (path, key), cell in zip(jobs, cells, strict=True):
        rows = _read(path, key)
        item = report.add(_name(cell), path)
        if rows is None:
            item.update(status="failed", error=made.get(path) or "its file cannot be read back")
            say(f"{_name(cell)}: {item['error']}", quiet=args.quiet)
            continue
        if path not in made:
            item.skip("was made before")
        results.append({**cell, **_summary(rows)})
    report.metrics = {"cells": results, "best": max(results, key=lambda r: r["full_success"]["share"], default=None)}
    if results:
        _draw(args.out, results)
        say(_shown(results, list(chosen)), quiet=args.quiet)


def _make(args: argparse.Namespace, missing: Sequence[tuple[Path, dict[str, Any]]]) -> Iterator[tuple[Path, str | None]]:
    """The files as they are finished, each with what went wrong; with one job in this process."""
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    words = (str(args.model), None if args.demonstrations is None else str(args.demonstrations), args.batch_size)
    count = min(args.jobs or os.cpu_count() or 1, len(missing))
    if count < 2:
        for path, key in missing:
            try:
                _work(path, key, *words)
            except Exception as error:  # noqa: BLE001 - the other cells are made all the same
                yield path, f"{type(error).__name__}: {error}"
            else:
                yield path, None
        return
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # the workers' libraries read it when they are loaded
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_work, path, key, *words): path for path, key in missing}
        for future in as_completed(waiting):
            problem = future.exception()
            yield waiting[future], None if problem is None else f"{type(problem).__name__}: {problem}"


def _work(path: Path, key: dict[str, Any], model: str, demonstrations: str | None, side_by_side: int) -> None:
    """One cell."""
    from polyscore.cli.rollout_policy import late, load, task_of
    from polyscore.hub.files import atomic_path
    from polyscore.robots.rollout import rollout

    flags.threads(1)
    task = task_of(key["env"], key["task"])
    policy = load(model, None if demonstrations is None else Path(demonstrations), "cpu", within=task).frozen()
    policy.sampling = _settings(policy, key["cell"])
    delay = late(key["delay"], task.period)
    made = rollout(policy, key["episodes"], within=task, seed=key["seed"], side_by_side=side_by_side, delay=delay)
    rows = [
        {"seed": o.seed, "asked": o.expected, "completed": o.completed, "reward": o.reward, "result": o.result, "steps": o.steps}
        for o in made
    ]
    with atomic_path(path) as name:
        name.write_text(json.dumps({"key": key, "episodes": rows}) + "\n", encoding="utf-8")


def _settings(policy: Policy, cell: Cell) -> Any:
    from dataclasses import replace

    return replace(policy.sampling, **{"guidance" if name == "cfg" else name: value for name, value in cell.items()})


def _fingerprint(policy: Policy) -> str:
    """A short hash of all numbers of a policy."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(policy.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _name(cell: Cell) -> str:
    return "_".join(f"{name}-{value:g}" if isinstance(value, float) else f"{name}-{value}" for name, value in cell.items())


def _read(path: Path, key: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The episodes of a cell's file; None if there is none of this key."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows: list[dict[str, Any]] = content["episodes"]
        return rows if content["key"] == key and len(rows) == key["episodes"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "full_success": share(sum(row["result"] == 1 for row in rows), len(rows)),
        "result": mean([row["result"] for row in rows]),
        "reward": mean([row["reward"] for row in rows]),
    }


def _draw(out: Path, results: Sequence[Mapping[str, Any]]) -> None:
    from polyscore.cli.sweep_pictures import guidance, heat_maps

    heat_maps(out / "sweep.png", results)
    if len({row.get("cfg") for row in results}) > 2:
        guidance(out / "guidance.png", results)


def _shown(results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    def span(value: Mapping[str, Any]) -> str:
        low, high = value["ci95"] or (math.nan, math.nan)
        return f"{value.get('share', value.get('mean')):.3f} ({low:.3f} to {high:.3f})"

    rows = [
        (
            *(f"{row[name]:g}" if isinstance(row[name], float) else str(row[name]) for name in names),
            *(span(row[name]) for name in ("full_success", "result", "reward")),
        )
        for row in results
    ]
    return table((*names, "full success", "result", "reward"), rows)
