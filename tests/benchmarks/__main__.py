"""The measurements of docs/benchmarks.md in one run: `make bench`, or

    python -m tests.benchmarks [NAME ...] [--list] [--long] [--out bench] [--gdss DIR] [--beso DIR]
        [--k-diffusion DIR] [--warp DIR]

One after the other, each a command of its own on one thread. Those that compare with an original take a checkout of it:
harryjo97/GDSS, intuitive-robots/beso, crowsonkb/k-diffusion, and a folder with `noise_warp.py` and `r.py` (see `warp_speed`).
Those that read published weights or recordings want POLYSCORE_REFERENCE. What is missing is said, and the rest runs. What a
measurement prints goes to OUT/NAME.txt; which ran, at what cost and with what end, to OUT/bench.json. `--long` adds what takes
over five CPU-minutes. Exit status 1 if one failed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyscore.hub.files import atomic_path

__all__ = ["MEASUREMENTS", "Measurement"]

ROOT = Path(__file__).parents[2]
CHECKOUTS = ("gdss", "beso", "k-diffusion", "warp")


@dataclass(frozen=True)
class Measurement:
    """A command, with {reference}, {gdss}, ..., {out} for folders that may be missing.

    Attributes:
        name: of the row.
        command: after `python -m`.
        extra: appended where all of its folders are there.
        long: more than about five CPU-minutes.
        reads: a folder that is read without being named in the command.
    """

    name: str
    command: str
    extra: str = ""
    long: bool = False
    reads: str = ""

    def missing(self, folders: Mapping[str, str], part: str) -> list[str]:
        """The folders that a part of the command names and that are not there."""
        return [key for key in ("reference", *CHECKOUTS) if f"{{{key}}}" in part and key not in folders]

    def words(self, folders: Mapping[str, str]) -> list[str]:
        """The command, split before the folders' names, which may hold spaces, are put into it."""
        words = (self.command if self.missing(folders, self.extra) else f"{self.command} {self.extra}").split()
        for key, folder in folders.items():
            words = [word.replace(f"{{{key}}}", folder) for word in words]
        return words


_QM9, _ZINC = "{reference}/graphs/gdss/gdss_qm9.pth", "{reference}/graphs/gdss/gdss_zinc250k.pth"
_DRAW, _SMALL = "polyscore.cli.main molecules --no-pictures", "{reference}/graphs/data/community_small.pkl"
_TEST = "{reference}/graphs/data/qm9_smiles.csv.gz --test {reference}/graphs/data/valid_idx_qm9.json"
_OWN = "tests.benchmarks"

MEASUREMENTS = (
    Measurement("imports", "pytest -q -s -m benchmark --rootdir {root} {root}/tests/benchmarks/test_imports.py"),
    Measurement("brownian", "pytest -q -s -m benchmark --rootdir {root} {root}/tests/benchmarks/test_brownian.py"),
    Measurement("mixture", f"{_OWN}.gmm_accuracy --steps 5 10 20"),
    Measurement("overhead", f"{_OWN}.overhead", "--k-diffusion {k-diffusion}"),
    Measurement("digits", f"{_OWN}.digits --model digits --seed 1000"),
    Measurement("inverse", f"{_OWN}.inverse_problems"),
    Measurement("speech-16k", f"{_OWN}.speech_mixes --model speech-16k --seed 1", reads="{reference}"),
    Measurement("storm-16k", f"{_OWN}.speech_mixes --model storm-16k --seed 1 --sampler ode --steps 1", reads="{reference}"),
    Measurement(
        "speech-speed",
        f"{_OWN}.speech_speed --model storm-16k --methods fast --against ode-upstream:30 --clips 2",
        reads="{reference}",
    ),
    Measurement("speech-solvers", f"{_OWN}.speech_solvers", reads="{reference}"),
    Measurement("qm9", f"{_OWN}.qm9 --model qm9 --data {_TEST} -n 2048 --seed 0"),
    Measurement("gdss-qm9-fast", f"{_DRAW} --model {_QM9} --preset fast -n 2000 -o {{out}}/qfast"),
    Measurement("gdss-qm9-exact", f"{_DRAW} --model {_QM9} --preset exact -n 2048 --batch-size 256 -o {{out}}/qexact", long=True),
    Measurement("gdss-zinc-fast", f"{_DRAW} --model {_ZINC} --preset fast -n 512 -o {{out}}/zfast", long=True),
    Measurement("gdss-zinc-exact", f"{_DRAW} --model {_ZINC} --preset exact -n 512 -o {{out}}/zexact", long=True),
    Measurement(
        "gdss-qm9-original", f"{_OWN}.original_sampling --gdss {{gdss}} --model {_QM9} --batch 256 --steps 3 --repeat 2"
    ),
    Measurement(
        "gdss-zinc-original",
        f"{_OWN}.original_sampling --gdss {{gdss}} --model {_ZINC} --batch 32 --count 128 --steps 2 --repeat 2",
    ),
    Measurement("graph-metrics", f"{_OWN}.graph_metrics --gdss {{gdss}} --graphs {_SMALL}"),
    Measurement(
        "community-small",
        f"{_OWN}.community_small --model community-small --graphs {_SMALL} --preset fast --out {{out}}/sets",
    ),
    Measurement("resampling", f"{_OWN}.resampling --model qm9 --islands 64 --island 8 --scales 10 30"),
    Measurement("policy", "polyscore.cli.main rollout --model push-blocks --env push --episodes 200 --no-films -o {out}/rollout"),
    Measurement("policy-latency", f"{_OWN}.robot_latency --calls 100", "--beso {beso}"),
    Measurement("music-notes", f"{_OWN}.music_songs prepare"),
    Measurement("music-chords", f"{_OWN}.music_songs chords"),
    Measurement("music-step", f"{_OWN}.music_songs step"),
    Measurement("chorale", f"{_OWN}.music_chorale nats samples"),
    Measurement("warp-speed", f"{_OWN}.warp_speed", "--original {warp}"),
    Measurement("warp-coherence", f"{_OWN}.warp_coherence --size 96"),
    Measurement("video", f"{_OWN}.video_control"),
    Measurement("video-sampling", f"{_OWN}.video_sampling"),
    Measurement("registration", f"{_OWN}.registration --pairs 40"),
    Measurement("points", f"{_OWN}.points_sets --kinds chair table lamp mug"),
    Measurement("pose", f"{_OWN}.pose_views --model pose"),
    Measurement("points-all", f"{_OWN}.points_sets", long=True),
    Measurement("meshes", f"{_OWN}.mesh_speed"),
    Measurement("text-to-mesh", f"{_OWN}.shapes_text --colours 4 --seeds 3"),
    Measurement("text-to-mesh-views", f"{_OWN}.shapes_text --engine consistent --colours 1 --seeds 1 --references 5"),
)


def main() -> int:
    """Run them."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    parser.add_argument("--list", action="store_true", help="say which there are, and do nothing")
    parser.add_argument("--long", action="store_true", help="also those that take over five CPU-minutes")
    parser.add_argument("--out", type=Path, default=Path("bench"))
    for checkout in CHECKOUTS:
        parser.add_argument(f"--{checkout}", type=Path)
    args = parser.parse_args()
    known = {measurement.name: measurement for measurement in MEASUREMENTS}
    if unknown := sorted(set(args.names) - set(known)):
        parser.error(f"{', '.join(unknown)}: unknown; expected some of {', '.join(known)}")
    chosen = [known[name] for name in args.names] or [m for m in MEASUREMENTS if args.long or not m.long]
    if args.list:
        for measurement in chosen:
            print(f"{measurement.name:20} {measurement.command} {measurement.extra}".rstrip())
        return 0
    shutil.rmtree(args.out / "files", ignore_errors=True)
    (args.out / "files").mkdir(parents=True)
    folders = {key: str(value.resolve()) for key in CHECKOUTS if (value := getattr(args, key.replace("-", "_"))) is not None}
    folders |= {"out": str((args.out / "files").resolve()), "root": str(ROOT)}
    if reference := os.environ.get("POLYSCORE_REFERENCE"):
        folders["reference"] = str(Path(reference).resolve())
    rows = []
    for measurement in chosen:
        rows.append(_measure(measurement, folders, args.out))
        print(f"{rows[-1]['status']:9} {measurement.name:20} {rows[-1]['says']}", flush=True)
        with atomic_path(args.out / "bench.json") as file:
            file.write_text(json.dumps({"machine": os.uname().machine, "cores": os.cpu_count(), "rows": rows}, indent=2) + "\n")
    return 1 if any(row["status"] == "failed" for row in rows) else 0


def _measure(measurement: Measurement, folders: Mapping[str, str], out: Path) -> dict[str, Any]:
    if missing := measurement.missing(folders, measurement.command + measurement.reads):
        says = "POLYSCORE_REFERENCE is not set" if missing[0] == "reference" else f"--{missing[0]} was not given"
        return {"name": measurement.name, "status": "left out", "says": says}
    words = measurement.words(folders)
    parts = [str(ROOT / part) for part in ("core", "domains", "apps", ".", "tests/benchmarks")]
    parts += filter(None, [os.environ.get("PYTHONPATH")])  # what an original needs may lie on the caller's path
    roots = os.pathsep.join(parts)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": roots}
    environment |= {"POLYSCORE_REFERENCE": folders["reference"]} if "reference" in folders else {}
    began, before = time.monotonic(), _cpu()
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=out, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    (out / f"{measurement.name}.txt").write_text(done.stdout, encoding="utf-8")
    cpu, seconds = _cpu() - before, time.monotonic() - began
    lines = done.stdout.strip().splitlines() or [""]
    return {
        "name": measurement.name,
        "status": "done" if done.returncode == 0 else "failed",
        "says": f"{cpu:.0f} CPU-s; {measurement.name}.txt" if done.returncode == 0 else lines[-1],
        "command": ["python", "-m", *words],
        "cpu_seconds": round(cpu, 2),
        "seconds": round(seconds, 2),
        "output": lines,
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
