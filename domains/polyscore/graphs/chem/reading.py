"""Texts to molecules, whatever the texts are.

Texts of more than `LONGEST` characters are no small molecules: RDKit spends minutes on some of them, and on others ends the
process.
"""

from __future__ import annotations

from rdkit import Chem, rdBase

__all__ = ["LONGEST", "read_mol"]

LONGEST = 2000


def read_mol(text: str, *, sanitize: bool = True) -> Chem.Mol | None:
    """The molecule of a SMILES; None where there is none, or the text is too long, or has signs that no SMILES has."""
    if not text.strip() or len(text) > LONGEST or not text.isascii() or not text.isprintable():
        return None
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(text, sanitize=sanitize)
