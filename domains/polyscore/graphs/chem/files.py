"""Files of molecules: tables, structures with coordinates, pictures. Each appears whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rdkit import Chem, rdBase
from rdkit.Chem import AllChem
from rdkit.Chem.Draw import rdMolDraw2D

from polyscore.errors import InputError
from polyscore.graphs.chem.reading import LONGEST, read_mol
from polyscore.hub import atomic_path
from polyscore.hub.files import readable_size

__all__ = ["draw", "read_smiles", "write_csv", "write_gif", "write_grid", "write_sdf", "write_smiles"]

_LARGE = 100_000_000  # bytes that any file may unfold into


def read_smiles(path: Path) -> list[str]:
    """The first word of every line, gzipped or not; a first line that is not written as SMILES, such as "smiles", is a title.

    Raises:
        InputError: no such file, no text, or no molecules.
    """
    try:
        lines = _unfolded(path).decode("utf-8").splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}); expected one SMILES a line") from error
    words = [line.replace(",", " ").split()[0] for line in lines if line.strip(" ,\t")]
    if words and len(words[0]) <= LONGEST and read_mol(words[0], sanitize=False) is None:
        words = words[1:]
    if not words:
        raise InputError(f"{path}: holds no molecules; expected one SMILES a line")
    return words


def _unfolded(path: Path) -> bytes:
    """The content of a file, gzipped or not; a text shrinks to a tenth, what shrinks to less than a fiftieth is no text."""
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    most = max(_LARGE, 50 * len(content))
    with gzip.open(io.BytesIO(content)) as stream:
        text = stream.read(most + 1)
    if len(text) > most:
        raise InputError(f"{path}: unfolds into more than {readable_size(most)}; expected one SMILES a line")
    return text


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """One row a molecule."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def write_smiles(path: Path, smiles: Iterable[str]) -> None:
    """One SMILES a line."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(f"{text}\n" for text in smiles)


def write_sdf(path: Path, mols: Iterable[Chem.Mol], names: Iterable[str], *, seed: int = 0) -> int:
    """Conformers by ETKDG (Riniker and Landrum 2015) relaxed with MMFF94; returns how many got one, the others lie flat."""
    count = 0
    with atomic_path(path) as temporary, rdBase.BlockLogs(), Chem.SDWriter(str(temporary)) as writer:
        for mol, name in zip(mols, names, strict=True):
            full = Chem.AddHs(mol)
            settings = AllChem.ETKDGv3()
            settings.randomSeed = seed
            settings.maxIterations = 20
            if AllChem.EmbedMolecule(full, settings) == 0:
                count += 1
                if AllChem.MMFFHasAllMoleculeParams(full):
                    AllChem.MMFFOptimizeMolecule(full)
            else:
                AllChem.Compute2DCoords(full)
            full.SetProp("_Name", name)
            writer.write(full)
    return count


def draw(mol: Chem.Mol, legend: str = "", *, size: int = 220) -> Image.Image:
    """A picture; what has no right valences is drawn as it is."""
    canvas = rdMolDraw2D.MolDraw2DCairo(size, size)
    with rdBase.BlockLogs():
        plain = Chem.Mol(mol)
        plain.UpdatePropertyCache(strict=False)
        with contextlib.suppress(Chem.KekulizeException):
            Chem.Kekulize(plain, clearAromaticFlags=True)
        AllChem.Compute2DCoords(plain)
        canvas.drawOptions().prepareMolsBeforeDrawing = False
        canvas.DrawMolecule(plain, legend=legend)
    canvas.FinishDrawing()
    return Image.open(io.BytesIO(canvas.GetDrawingText())).convert("RGB")


def write_grid(path: Path, mols: Sequence[Chem.Mol], legends: Sequence[str], *, columns: int = 8) -> None:
    """Pictures side by side."""
    pictures = [draw(mol, legend) for mol, legend in zip(mols, legends, strict=True)]
    side = pictures[0].width
    columns = min(columns, len(pictures))
    page = Image.new("RGB", (columns * side, math.ceil(len(pictures) / columns) * side), "white")
    for i, picture in enumerate(pictures):
        page.paste(picture, (i % columns * side, i // columns * side))
    with atomic_path(path) as temporary:
        page.save(temporary)


def write_gif(path: Path, frames: Sequence[Image.Image], *, milliseconds: int = 150) -> None:
    """An animation that waits on its last frame."""
    first, *rest = frames
    times = [milliseconds] * (len(frames) - 1) + [2000]
    with atomic_path(path) as temporary:
        first.save(temporary, save_all=True, append_images=rest, duration=times, loop=0)
