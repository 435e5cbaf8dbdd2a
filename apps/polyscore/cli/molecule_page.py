"""The HTML report of ``polyscore molecules``: numbers, property histograms beside the reference, and structures, in one file.

Pictures are drawn as SVG inside the page, so it needs no network and can be mailed.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

__all__ = ["histogram", "write_page"]

_MOLECULES = 24
_REFERENCE = 2000  # molecules of the reference whose properties are computed, evenly spaced
_BINS = 24
_WIDTH, _HEIGHT = 260, 130
_TITLES = {
    "qed": "QED, drug-likeness",
    "logp": "logP",
    "sa": "synthetic accessibility (1 easy, 10 hard)",
    "mw": "molecular weight, g/mol",
    "tpsa": "TPSA, square angstroms",
    "largest_ring": "largest ring, atoms",
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
.row { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: 0 } figcaption { font-size: .8rem; overflow-wrap: anywhere }
.molecules figure { width: 13rem } table { border-collapse: collapse } td, th { padding: .1rem 1rem .1rem 0; text-align: left }
.drawn { fill: #4a78b8; fill-opacity: .55 } .reference { fill: none; stroke: #b8562a; stroke-width: 1.5 }
svg text { font-size: 10px }
"""


def write_page(
    path: Path,
    report: Mapping[str, Any],
    numbers: Mapping[str, Sequence[float]],
    *,
    rows: Iterable[Mapping[str, Any]],
    mols: Iterable[Any],
    reference: Any,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the page.
        report: of the run; its items are not looked at.
        numbers: by the property's name, of all molecules.
        rows: of the table.
        mols: in the order of the rows.
        reference: None, or a `polyscore.graphs.chem.scores.Reference`.
    """
    from polyscore.graphs.chem.properties import properties
    from polyscore.hub.files import atomic_path

    others: list[Mapping[str, float]] = []
    if reference is not None:
        every = max(1, len(reference.mols) // _REFERENCE)
        others = [properties(mol) for mol in reference.mols[::every]]
    charts = [
        f"<figure><figcaption>{html.escape(title)}</figcaption>"
        f"{histogram(numbers[name], [other[name] for other in others])}</figure>"
        for name, title in _TITLES.items()
        if len(numbers[name])
    ]
    beside = ", blue, and of the reference, the orange line" if others else ""
    run = f"Seed {report['seed']}, {report['nfe'] or 0:g} network calls a molecule, polyscore {report['polyscore']}."
    parts = [
        f"<h1>Molecules of {html.escape(Path(str(report['model'])).name)}</h1>",
        f"<p>{html.escape(run)}</p>",
        _numbers(report["metrics"]),
        f"<h2>Properties</h2><p>Of the molecules{beside}.</p><div class='row'>{''.join(charts)}</div>",
        "<h2>Structures</h2><div class='row molecules'>",
        *(_structure(mol, row) for mol, row in islice(zip(mols, rows, strict=True), _MOLECULES)),
        "</div>",
    ]
    head = f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Molecules</title><style>{_STYLE}</style></head>"
    with atomic_path(path) as temporary:
        temporary.write_text(f"{head}<body>{''.join(parts)}</body></html>\n", encoding="utf-8")


def histogram(values: Sequence[float], reference: Sequence[float] = ()) -> str:
    """SVG: shares of the values in equal bins as bars, those of the reference as a line, on one scale."""
    import numpy as np

    both = np.array([*values, *reference])
    low, high = float(both.min()), float(both.max())
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    shares = [np.histogram(part, edges)[0] / len(part) if len(part) else np.zeros(_BINS) for part in (values, reference)]
    unit, wide = (_HEIGHT - 20) / max(float(part.max()) for part in shares), _WIDTH / _BINS
    bars = "".join(
        f"<rect class='drawn' x='{i * wide:.1f}' y='{_HEIGHT - 15 - unit * s:.1f}' width='{wide:.1f}' height='{unit * s:.1f}'/>"
        for i, s in enumerate(shares[0])
        if s > 0
    )
    steps = " ".join(
        f"{x * wide:.1f},{_HEIGHT - 15 - unit * s:.1f}" for i, s in enumerate(shares[1]) for x in (i, i + 1)
    )
    line = f"<polyline class='reference' points='{steps}'/>" if len(reference) else ""
    ends = "".join(
        f"<text x='{x}' y='{_HEIGHT - 2}' text-anchor='{anchor}'>{edge:.3g}</text>"
        for x, anchor, edge in ((0, "start", edges[0]), (_WIDTH, "end", edges[-1]))
    )
    return f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' width='{_WIDTH}' height='{_HEIGHT}' role='img'>{bars}{line}{ends}</svg>"


def _numbers(metrics: Mapping[str, Any]) -> str:
    rows = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            middle, ends = value.get("share", value.get("mean")), value["ci95"]
            shown = "-" if middle is None else f"{middle:.4g}"
            interval = f"{ends[0]:.4g} to {ends[1]:.4g}" if ends else ""
        else:
            shown, interval = (f"{value:.4g}" if isinstance(value, float) else html.escape(str(value))), ""
        rows.append(f"<tr><td>{html.escape(name.replace('_', ' '))}</td><td>{shown}</td><td>{interval}</td></tr>")
    return f"<table><tr><th>score</th><th>value</th><th>95 % interval</th></tr>{''.join(rows)}</table>"


def _structure(mol: Any, row: Mapping[str, Any]) -> str:
    from rdkit.Chem.Draw import rdMolDraw2D

    canvas = rdMolDraw2D.MolDraw2DSVG(208, 150)
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, mol)
    canvas.FinishDrawing()
    picture = canvas.GetDrawingText().partition("?>")[2]
    flagged = ", ".join(name for name in ("pains", "brenk") if row[name])
    alert = f" ({flagged.upper()} alert)" if flagged else ""
    return f"<figure>{picture}<figcaption>{html.escape(str(row['smiles']))}{alert}</figcaption></figure>"
