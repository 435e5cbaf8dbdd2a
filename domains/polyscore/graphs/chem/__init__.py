"""Molecules: from real-valued graphs to RDKit molecules, their properties, and the files chemists open.

Raises:
    MissingExtraError: rdkit is not installed.
"""

from polyscore.errors import MissingExtraError

try:
    import rdkit  # noqa: F401
except ImportError as error:
    raise MissingExtraError("molecules need the package rdkit: pip install 'polyscore[graphs]'") from error

from polyscore.graphs.chem.decode import Decoded, Outcome, decode, inspect, outcome

__all__ = ["Decoded", "Outcome", "decode", "inspect", "outcome"]
