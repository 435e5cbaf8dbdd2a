"""Makes the pictures and the gallery page of the documentation from the output of `polyscore demo`.

    polyscore demo -o demo_output
    python docs/gallery.py demo_output

`make gallery` runs both. Every done part gives `docs/pictures/NAME.png` or `.gif`, small enough for a page, and a section of
`docs/gallery.md`; a part that was left out keeps its old picture, and the page is written only where no part is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from polyscore.cli.demo_parts import PARTS, Part
from polyscore.films import Film, read_film, write_film

HERE = Path(__file__).resolve().parent
WIDTH = 880  # pixels of a still picture
FILM_WIDTH, FRAMES, SECONDS = 480, 48, 6.0  # of a film: at most so wide, so many pictures, about so long
COLOURS = 128

HEAD = """# Gallery

What the models that ship make. Every picture is a part of the page that `polyscore demo` writes, there with sounds and films; the
command above it made it, with {version} and torch {torch}, on one thread of a CPU. `make gallery` makes this page anew.
"""


def still(source: Path, target: Path) -> None:
    """A picture of at most `WIDTH` pixels and `COLOURS` colours."""
    picture = Image.open(source).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


def moving(source: Path, target: Path) -> None:
    """A GIF of at most `FRAMES` frames, evenly spaced; a longer film is shown faster."""
    film, rate = read_film(source)
    kept = film[np.linspace(0, len(film) - 1, min(len(film), FRAMES)).round().astype(int)]
    shown = np.stack([_narrow(frame) for frame in kept])
    write_film(target, shown, fps=max(len(kept) / min(len(film) / rate, SECONDS), 4.0))


def _narrow(frame: Film) -> Film:
    if frame.shape[1] <= FILM_WIDTH:
        return frame
    size = (FILM_WIDTH, round(frame.shape[0] * FILM_WIDTH / frame.shape[1]))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))


def section(part: Part, item: Mapping[str, Any], picture: str) -> str:
    """Title, sentence, command, picture and figure of one part."""
    commands = "\n".join(item["commands"])
    shown = f"![{part.title}](pictures/{picture})"
    return "\n\n".join([f"## {part.title}", part.about, f"```console\n{commands}\n```", shown, f"{item['figure']}.\n"])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="pictures and gallery page from the output of `polyscore demo`")
    parser.add_argument("folder", type=Path, help="the output of `polyscore demo`")
    args = parser.parse_args(argv)
    report = json.loads((args.folder / "report.json").read_text(encoding="utf-8"))
    items = {item["input"]: item for item in report["items"] if item["status"] == "done"}
    sections = []
    for part in (part for part in PARTS if part.name in items):
        source = args.folder / part.name / Path(items[part.name]["shown"][0]).name
        name = f"{part.name}{'.png' if source.suffix == '.png' else '.gif'}"
        (still if source.suffix == ".png" else moving)(source, HERE / "pictures" / name)
        sections.append(section(part, items[part.name], name))
        print(f"docs/pictures/{name}: {(HERE / 'pictures' / name).stat().st_size / 1000:.0f} kB")
    if len(sections) < len(PARTS):
        print(f"docs/gallery.md stays: {len(PARTS) - len(sections)} parts are missing", file=sys.stderr)
        return 1
    head = HEAD.format(version=f"polyscore {report['polyscore']}", torch=report["torch"])
    (HERE / "gallery.md").write_text("\n".join([head, *sections]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
