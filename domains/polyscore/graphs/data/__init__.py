"""Training data of graphs and molecules."""

from polyscore.graphs.data.smiles import Molecules, SmilesData, read_table

__all__ = ["Molecules", "SmilesData", "read_table"]
