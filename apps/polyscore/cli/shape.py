"""``polyscore shape "a red chair" -o OUT``: words to a closed, coloured mesh, on a CPU and without a download.

``OUT`` becomes a folder with ``shape.glb``, ``turntable.gif``, ``views.png``, ``viewer.html`` (one file that opens anywhere) and
``report.json``; with ``--variations N`` one such folder a variation, and ``variations.png``. The vocabulary is that of the
bundled prior: an unknown word is an error that names the nearest known ones.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say, track
from polyscore.cli.report import Report
from polyscore.errors import InputError

if TYPE_CHECKING:
    from trimesh import Trimesh

    from polyscore.shapes.engines import Engine, Frame, Request
    from polyscore.shapes.text import TextToShape
    from polyscore.shapes.words import Words

__all__ = ["HELP", "add_arguments", "run"]

HELP = "words to a closed, coloured mesh (GLB), with a turntable and a viewer"

_ENGINES = ("consistent", "distill")
_RESOLUTION = 96
_TURNTABLE: dict[str, Any] = {"frames": 24, "size": 256}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is wanted, how it is made, and where to."""
    parser.add_argument("words", metavar="WORDS", help='kind, colour and finish: "a red chair", "a glossy blue mug"')
    flags.add(
        parser,
        *flags.MAKE,
        model={"default": "solids", "help": "the multi-view prior: a shipped model or a saved one (default: solids)"},
        out={"required": True, "metavar": "DIR", "help": "the folder for the files"},
        seed={"help": "seed of the first variation, the next has the next (default: 0)"},
    )
    parser.add_argument("--engine", choices=_ENGINES, default=_ENGINES[0], help=f"how it is made (default: {_ENGINES[0]})")
    parser.add_argument("--variations", type=flags.whole(1), default=1, metavar="N", help="each in its folder (default: 1)")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--sketch", type=Path, metavar="MESH", help="a coarse closed mesh that the shape follows")
    given.add_argument("--paint", type=Path, metavar="MESH", help="a closed mesh that keeps its geometry and is coloured")
    parser.add_argument("--texture", type=flags.whole(64), metavar="SIZE", help="a texture of SIZE texels a side")
    parser.add_argument("--faces", type=flags.whole(100), default=10_000, metavar="N", help="triangles, about (default: 10000)")
    parser.add_argument("--no-pictures", action="store_true", help="write shape.glb and report.json only")


def run(args: argparse.Namespace) -> int:
    """One folder a variation."""
    flags.threads(args.threads)
    from polyscore.shapes.engines import Consistent, Distill, Request, Sketch, body_field, fitted
    from polyscore.shapes.mesh import read_mesh
    from polyscore.shapes.text import TextToShape
    from polyscore.shapes.words import parse

    args.report = args.report or args.out / "report.json"
    words = parse(args.words)
    engine: Engine = {"consistent": Consistent, "distill": Distill}[args.engine]()
    given = args.sketch or args.paint
    mesh = None if given is None else fitted(_closed(read_mesh(given), given))
    sketch = Sketch.of(mesh) if mesh is not None and args.sketch else None
    device = flags.device(args.device)
    with Report("shape", args) as report:
        prior = TextToShape.from_pretrained(args.model, device=device)
        report.device, report.nfe = str(device), engine.nfe
        made: list[Trimesh] = []
        for number in range(args.variations):
            folder = args.out if args.variations == 1 else args.out / f"{number:02d}"
            with report.item(args.words, folder / "shape.glb") as item:
                seed = args.seed + number
                full = words.coloured(seed)
                body = body_field(mesh) if mesh is not None and args.paint else None
                request = Request(full, seed, sketch=sketch, body=body)
                item.update(seed=seed, words=str(full), engine=args.engine)
                frame = _follow(engine, prior, request, args)
                found = _mesh(frame, full, args, mesh if args.paint else None)
                made.append(found)
                item.update(_facts(found))
                _write(folder, found, full, args)
                say(f"{full}, seed {seed}: {folder}", quiet=args.quiet)
        if len(made) > 1 and not args.no_pictures:
            _sheet(args.out / "variations.png", made, words)
        report.metrics = {
            "made": len(made),
            "watertight": sum(bool(item.get("watertight")) for item in report.items),
            "one_body": sum(item.get("bodies") == 1 for item in report.items),
        }
    return report.exit_code


def _closed(mesh: Trimesh, path: Path) -> Trimesh:
    from polyscore.shapes.mesh import clean, examine

    whole = clean(mesh)
    if not examine(whole).watertight:
        raise InputError(f"{path}: the mesh is not closed; expected one without open edges (see `polyscore mesh check`)")
    return whole


def _follow(engine: Engine, prior: TextToShape, request: Request, args: argparse.Namespace) -> Frame:
    """Run the engine under a bar."""
    from polyscore.shapes.engines import last

    frames = engine.frames(prior, request)
    return last(track(frames, f"{request.words}", total=engine.length, quiet=args.quiet))


def _mesh(frame: Frame, words: Words, args: argparse.Namespace, given: Trimesh | None) -> Trimesh:
    from polyscore.shapes.engines import coloured, mesh_of, painted

    texture = args.texture or 0
    if given is not None:
        return painted(given, frame.field, words.finish, texture=texture)
    return coloured(mesh_of(frame.field, resolution=_RESOLUTION, faces=args.faces), frame.field, words.finish, texture=texture)


def _facts(mesh: Trimesh) -> dict[str, Any]:
    from polyscore.shapes.mesh import examine

    facts = asdict(examine(mesh))
    names = ("vertices", "faces", "watertight", "bodies", "euler_number", "volume", "area", "colours")
    return {name: facts[name] for name in names}


def _write(folder: Path, mesh: Trimesh, words: Words, args: argparse.Namespace) -> None:
    from functools import partial

    from polyscore.shapes.finishes import shade
    from polyscore.shapes.mesh import write_mesh
    from polyscore.shapes.turntable import turntable, views
    from polyscore.shapes.viewer import write_viewer

    folder.mkdir(parents=True, exist_ok=True)
    write_mesh(folder / "shape.glb", mesh)
    if args.no_pictures:
        return
    shading = partial(shade, finish=words.finish)
    views(folder / "views.png", mesh, shading=shading)
    turntable(folder / "turntable.gif", mesh, shading=shading, **_TURNTABLE)
    write_viewer(folder / "viewer.html", mesh, str(words))


def _sheet(path: Path, meshes: list[Trimesh], words: Words) -> None:
    """One picture of all variations."""
    from functools import partial

    import numpy as np

    from polyscore.pictures import grid, write_png
    from polyscore.shapes.finishes import shade
    from polyscore.shapes.render import Perspective
    from polyscore.shapes.turntable import photographs

    camera, shading = Perspective.orbit(30.0, 20.0), partial(shade, finish=words.finish)
    pictures = np.concatenate([photographs(mesh, camera, 256, shading=shading) for mesh in meshes])
    write_png(path, grid(pictures, columns=min(len(meshes), 3)))
