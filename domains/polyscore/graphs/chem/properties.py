"""Numbers of a molecule: drug-likeness, solubility, size, rings, alerts.

QED: Bickerton et al. 2012. logP: Wildman and Crippen 1999. SA, synthetic accessibility, 1 easy to 10 hard: Ertl and Schuffenhauer
2009. TPSA: Ertl et al. 2000. PAINS: Baell and Holloway 2010. Brenk: Brenk et al. 2008. All as RDKit computes them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rdkit import Chem, DataStructs, RDConfig, rdBase
from rdkit.Chem import QED, Crippen, Descriptors, FilterCatalog, rdFingerprintGenerator, rdMolDescriptors

from polyscore.errors import InputError

__all__ = ["PROPERTIES", "alerts", "fingerprint", "largest_ring", "measure", "nearest", "properties"]

PROPERTIES = ("qed", "logp", "sa", "mw", "tpsa", "largest_ring")


def properties(mol: Chem.Mol) -> dict[str, float]:
    """The numbers of `PROPERTIES`: molecular weight in g/mol, TPSA in square angstroms."""
    return {name: measure(mol, name) for name in PROPERTIES}


def measure(mol: Chem.Mol, name: str) -> float:
    """One of `PROPERTIES`.

    Raises:
        InputError: a name that is not among them.
    """
    with rdBase.BlockLogs():
        match name:
            case "qed":
                return float(QED.qed(mol))
            case "logp":
                return float(Crippen.MolLogP(mol))
            case "sa":
                return float(_scorer().calculateScore(mol))
            case "mw":
                return float(Descriptors.MolWt(mol))
            case "tpsa":
                return float(rdMolDescriptors.CalcTPSA(mol))
            case "largest_ring":
                return float(largest_ring(mol))
    raise InputError(f"property '{name}' is unknown; expected one of {', '.join(PROPERTIES)}")


def largest_ring(mol: Chem.Mol) -> int:
    """Atoms of the largest ring of the smallest set of rings; 0 without rings."""
    return max((len(ring) for ring in mol.GetRingInfo().AtomRings()), default=0)


def alerts(mol: Chem.Mol) -> dict[str, bool]:
    """Whether a PAINS or a Brenk filter matches."""
    return {name: bool(catalog.HasMatch(mol)) for name, catalog in _catalogs().items()}


def fingerprint(mol: Chem.Mol) -> Any:
    """Morgan fingerprint of radius 2, 2048 bits."""
    return _morgan().GetFingerprint(mol)


def nearest(prints: list[Any], reference: list[Any]) -> list[float]:
    """For every fingerprint its largest Tanimoto similarity to the reference."""
    return [max(DataStructs.BulkTanimotoSimilarity(one, reference), default=0.0) for one in prints]


@cache
def _morgan() -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


@cache
def _catalogs() -> Mapping[str, Any]:
    kinds = FilterCatalog.FilterCatalogParams.FilterCatalogs
    made = {}
    for name, kind in (("pains", kinds.PAINS), ("brenk", kinds.BRENK)):
        parameters = FilterCatalog.FilterCatalogParams()
        parameters.AddCatalog(kind)
        made[name] = FilterCatalog.FilterCatalog(parameters)
    return made


@cache
def _scorer() -> Any:
    # RDKit ships it beside the package, not in it.
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("rdkit_sascorer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
