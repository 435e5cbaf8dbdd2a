"""``polyscore shape "a red chair" -o OUT``: words to a closed, coloured mesh, on a CPU and without a download.

``OUT`` becomes a folder with ``shape.glb``, ``turntable.gif``, ``views.png``, ``viewer.html`` (one file that opens anywhere) and
``report.json``; with ``--variations N`` one such folder a variation, and ``variations.png``; with ``--debug`` score distillation
adds ``strip.png``, what its model wished to see. The vocabulary is that of the shipped models: an unknown word is an error that
names the nearest known ones. An engine with a text-to-image pipeline takes any words.
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

    from polyscore.distillation import Record
    from polyscore.shapes.engines import Body, Engine, Frame, Request, Spoken

__all__ = ["HELP", "add_arguments", "run"]

HELP = "words to a closed, coloured mesh (GLB), with a turntable and a viewer"

_RESOLUTION = 96
_TURNTABLE: dict[str, Any] = {"frames": 24, "size": 256}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is wanted, how it is made, and where to."""
    from polyscore.shapes.engine_table import DEFAULT, ENGINES

    parser.add_argument("words", metavar="WORDS", help='kind, colour and finish: "a red chair", "a glossy blue mug"')
    flags.add(
        parser,
        *flags.MAKE,
        model={"help": "the model that the engine asks: a shipped one or a saved one (default: the engine's own)"},
        out={"required": True, "metavar": "DIR", "help": "the folder for the files"},
        seed={"help": "seed of the first variation, the next has the next (default: 0)"},
    )
    parser.add_argument("--engine", choices=tuple(ENGINES), default=DEFAULT, help=f"how it is made (default: {DEFAULT})")
    parser.add_argument("--steps", type=flags.whole(1), metavar="N", help="steps of the engine (default: its own)")
    parser.add_argument("--field", choices=("voxel", "triplane", "hash", "sdf"), help="distill: what is fitted (default: voxel)")
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
    from polyscore.shapes.engine_table import engine
    from polyscore.shapes.engines import Request

    args.report = args.report or args.out / "report.json"
    settings = {name: value for name in ("steps", "field") if (value := getattr(args, name)) is not None}
    maker = engine(args.engine, **settings)
    words = maker.read(args.words)
    name = maker.model_name(args.model)
    sketch, paint = _given(maker, args)
    device = flags.device(args.device)
    with Report("shape", args) as report:
        model = maker.load(name, device=device)
        report.model, report.device, report.nfe = name, str(device), maker.nfe
        made: list[Trimesh] = []
        for number in range(args.variations):
            folder = args.out if args.variations == 1 else args.out / f"{number:02d}"
            with report.item(args.words, folder / "shape.glb") as item:
                seed = args.seed + number
                full = words.coloured(seed)
                item.update(seed=seed, words=str(full), engine=args.engine)
                frame = _follow(maker, model, Request(full, seed, sketch=sketch, paint=paint), args)
                found = _mesh(frame.body, full, args, paint)
                made.append(found)
                item.update(_facts(found))
                _write(folder, found, full, args)
                if args.debug and frame.record is not None:
                    item["gradient_norms"] = _trace(folder, frame.record)
                say(f"{full}, seed {seed}: {folder}", quiet=args.quiet)
        if len(made) > 1 and not args.no_pictures:
            _sheet(args.out / "variations.png", made, words)
        report.metrics = {
            "made": len(made),
            "watertight": sum(bool(item.get("watertight")) for item in report.items),
            "one_body": sum(item.get("bodies") == 1 for item in report.items),
        }
    return report.exit_code


def _given(maker: Engine[Any, Any], args: argparse.Namespace) -> tuple[Trimesh | None, Trimesh | None]:
    """The meshes of --sketch and --paint, closed and in the box."""
    from polyscore.shapes.engines import fitted
    from polyscore.shapes.mesh import clean, examine, read_mesh

    found: dict[str, Trimesh] = {}
    for aid, path in (("sketch", args.sketch), ("paint", args.paint)):
        if path is None:
            continue
        if aid not in maker.aids:
            raise InputError(f"--engine {args.engine} takes no --{aid}; expected {_taking(aid)}")
        whole = clean(read_mesh(path))
        if not examine(whole).watertight:
            raise InputError(f"{path}: the mesh is not closed; expected one without open edges (see `polyscore mesh check`)")
        found[aid] = fitted(whole)
    return found.get("sketch"), found.get("paint")


def _taking(aid: str) -> str:
    """The engines that take it."""
    from polyscore.shapes.engine_table import ENGINES, engine

    return " or ".join(f"--engine {name}" for name in ENGINES if aid in engine(name).aids)


def _follow(maker: Engine[Any, Any], model: Any, request: Request[Any], args: argparse.Namespace) -> Frame:
    """Run the engine under a bar."""
    from polyscore.shapes.engines import last

    frames = maker.frames(model, request)
    return last(track(frames, f"{request.words}", total=maker.length, quiet=args.quiet))


def _mesh(body: Body, words: Spoken, args: argparse.Namespace, given: Trimesh | None) -> Trimesh:
    from polyscore.shapes.engines import coloured, painted

    texture = args.texture or 0
    if given is not None:
        return painted(given, body.colour, words.finish, texture=texture)
    return coloured(body.mesh(resolution=_RESOLUTION, faces=args.faces), body.colour, words.finish, texture=texture)


def _facts(mesh: Trimesh) -> dict[str, Any]:
    from polyscore.shapes.mesh import examine

    facts = asdict(examine(mesh))
    names = ("vertices", "faces", "watertight", "bodies", "euler_number", "volume", "area", "colours")
    return {name: facts[name] for name in names}


def _write(folder: Path, mesh: Trimesh, words: Spoken, args: argparse.Namespace) -> None:
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


def _trace(folder: Path, record: Record) -> list[dict[str, float]]:
    """strip.png, the views that the prior asked for as the run went on, a row a camera; the mean gradient by noise level."""
    from polyscore.pictures import pixels, write_png
    from polyscore.shapes.pictures import CHANNELS, layers

    strip = record.strip()
    if strip.ndim == 4 and strip.shape[1] == CHANNELS:  # latents of a pipeline are no pictures
        parts = layers(strip)
        rows = (parts.colour + 1 - parts.coverage[..., None]).clamp(0, 1)
        write_png(folder / "strip.png", pixels(rows.flatten(0, 1).movedim(-1, 0)[None])[0])
    return [{"t": round(t, 3), "norm": norm, "views": count} for t, norm, count in record.norm_by_time()]


def _sheet(path: Path, meshes: list[Trimesh], words: Spoken) -> None:
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
