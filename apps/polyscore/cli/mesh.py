"""``polyscore mesh check FILE...`` says what meshes are; ``polyscore mesh show FILE... -o DIR`` makes pictures of them.

``check`` reports whether a mesh is closed, oriented and whole, of how many bodies, and how large. ``show`` writes a turntable
(GIF), a sheet of views (PNG) and a page that opens anywhere (HTML) for each, named after the file.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyscore.cli import flags
from polyscore.cli.console import say
from polyscore.cli.report import Report

__all__ = ["HELP", "add_arguments", "run"]

HELP = "check meshes (closed, bodies, Euler number, volume) or show them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and the files."""
    parser.add_argument("action", choices=["check", "show"], help="check: say what each mesh is; show: pictures and a page")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a mesh: GLB, glTF, OBJ, PLY, STL or OFF")
    flags.add(parser, "out", "report", "quiet", out={"metavar": "DIR", "help": "show: the folder for the pictures"})


def run(args: argparse.Namespace) -> int:
    """Each mesh in turn; a file that cannot be used counts as failed, and the next goes on."""
    from dataclasses import asdict

    from polyscore.errors import InputError
    from polyscore.shapes.mesh import examine, read_mesh

    if args.action == "show" and args.out is None:
        raise InputError("mesh show: no folder for the pictures; expected -o DIR")
    stems = [path.stem for path in args.files]
    if args.action == "show" and len(set(stems)) < len(stems):
        raise InputError("mesh show: two files have the same name, and so would their pictures; show them into different folders")
    with Report("mesh", args) as report:
        for path in args.files:
            with report.item(path, args.out / path.stem if args.action == "show" else None) as item:
                mesh = read_mesh(path)
                facts = asdict(examine(mesh))
                item.update(facts)
                if args.action == "show":
                    _show(mesh, args.out, path.stem)
                say("\n".join([str(path), *_lines(facts)]), quiet=args.quiet)
        done = [item for item in report.items if item["status"] == "done"]
        report.metrics = {
            "files": len(done),
            "watertight": sum(item["watertight"] for item in done),
            "one_body": sum(item["bodies"] == 1 for item in done),
        }
    return report.exit_code


def _show(mesh: Any, folder: Path, name: str) -> None:
    from polyscore.shapes.mesh import unit_box
    from polyscore.shapes.turntable import turntable, views
    from polyscore.shapes.viewer import write_viewer

    whole = unit_box(mesh)
    views(folder / f"{name}-views.png", whole)
    turntable(folder / f"{name}-turntable.gif", whole)
    write_viewer(folder / f"{name}-viewer.html", whole, name)


def _lines(facts: Mapping[str, Any]) -> list[str]:
    width = max(map(len, facts))
    return [f"  {name.replace('_', ' '):{width}}  {_shown(value)}" for name, value in facts.items()]


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
