"""Scores of sets: diversity, scaffolds, property distances, and the uncertainty of all of them, against closed forms."""

from __future__ import annotations

import math
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from polyscore.errors import InputError, MissingExtraError
from polyscore.evaluation import frechet
from polyscore.graphs.metrics import GRAMS, Gram, degree_mmd, interval, nspdk, nspdk_mmd, nspdk_resampled, weights

pytest.importorskip("rdkit")
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from polyscore.graphs.chem import inspect
from polyscore.graphs.chem.chemnet import activations
from polyscore.graphs.chem.comparison import (
    Similarities,
    fragments,
    nearest_similarity,
    parts_similarity,
    ring_sizes,
    scaffold,
    scaffold_similarity,
    wasserstein,
)
from polyscore.graphs.chem.scores import kernel_features

SMILES = ("CCO", "CCN", "c1ccccc1", "c1ccc2ccccc2c1", "C1CC1", "c1ccc2[nH]ccc2c1", "Cc1ccc2ccccc2c1", "CC(=O)O")


def mols(*smiles: str) -> list[Any]:
    return [Chem.MolFromSmiles(text) for text in smiles or SMILES]


def ones(n: int) -> Any:
    return np.ones((1, n))


def test_diversity_and_nearest_neighbours_are_those_of_rdkit() -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    prints = [generator.GetFingerprint(mol) for mol in mols()]
    matrix = np.array([DataStructs.BulkTanimotoSimilarity(one, prints) for one in prints])
    similar = Similarities.of(mols())
    for p in (1.0, 2.0):
        assert similar.diversity(ones(8), p=p)[0] == pytest.approx(1 - (matrix**p).mean() ** (1 / p), abs=1e-12)
    near = nearest_similarity(similar, Similarities.of(mols()[:3]))
    np.testing.assert_allclose(near, matrix[:, :3].max(1), atol=1e-12)
    assert Similarities.of(mols("CC", "CC")).diversity(ones(2))[0] == pytest.approx(0, abs=1e-12)


def test_scaffolds_with_two_rings_count() -> None:
    names = [scaffold(mol) for mol in mols()]
    assert names == ["", "", "", "c1ccc2ccccc2c1", "", "c1ccc2[nH]ccc2c1", "c1ccc2ccccc2c1", ""]
    # counts (2, 1) and (1, 0): cosine 2 / sqrt 5
    assert scaffold_similarity(names, ["c1ccc2ccccc2c1", ""], ones(8))[0] == pytest.approx(2 / math.sqrt(5), abs=1e-12)
    assert math.isnan(scaffold_similarity(["", ""], ["", "x"], ones(2))[0])
    assert ring_sizes(mols("C1CC1CC1CCCCCCCC1")[0]) == {3, 9}


def test_wasserstein_is_that_of_scipy_also_with_weights() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 40), rng.normal(1, 2, 57)
    w = np.concatenate((ones(40), weights(40, resamples=5, seed=1)))
    expected = [stats.wasserstein_distance(a, b, row) for row in w]
    np.testing.assert_allclose(wasserstein(a, b, w), expected, atol=1e-12)
    assert wasserstein(a, a + 3, ones(40))[0] == pytest.approx(3, abs=1e-12)


def test_weights_of_one_give_the_scores_themselves() -> None:
    features, other = kernel_features(mols()), kernel_features(mols("CCO", "CCCO", "C1CCC1"))
    assert nspdk_resampled(features, other, ones(8))[0] == pytest.approx(nspdk_mmd(features, other), abs=1e-12)
    rng = np.random.default_rng(2)
    graphs = [np.triu(rng.random((8, 8)) < 0.4, 1).astype(np.int64) for _ in range(9)]
    graphs = [g + g.T for g in graphs]
    a, b = graphs[:5], graphs[5:]
    gram = GRAMS["degree"](a, b)
    assert gram.resampled(ones(5))[0] == pytest.approx(degree_mmd(a, b), abs=1e-12)
    k = np.ones((2, 2))
    assert Gram(k, k, k).unbiased == 0 and math.isnan(Gram(k[:1, :1], k, k[:1]).unbiased)


def test_a_resample_is_scored_without_pairs_of_copies() -> None:
    # For a linear kernel of numbers the mean over pairs of different draws is known: leave the copies out by hand.
    x = np.array([0.3, -1.0, 2.0, 0.7])
    gram = Gram(np.outer(x, x), np.ones((1, 1)), np.zeros((4, 1)))
    w = np.array([[2.0, 1.0, 1.0, 0.0], [3.0, 0.0, 0.0, 1.0]])
    for row, value in zip(w, gram.resampled(w), strict=True):
        pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
        total = sum(row[i] * row[j] for i, j in pairs)
        different = sum(row[i] * row[j] * x[i] * x[j] for i, j in pairs) / total
        assert value == pytest.approx((3 * different + (row * x * x).sum() / 4) / 4 + 1, abs=1e-12)


def test_the_interval_covers_zero_for_two_sets_of_one_law() -> None:
    # Of 40 pairs of samples of one law about 38 intervals should hold 0; the reference is larger, as it is in use.
    rng, hits = np.random.default_rng(5), 0

    def chains(n: int) -> Any:
        return nspdk([(rng.integers(1, 3, 5).tolist(), [(i, i + 1, 1) for i in range(4)]) for _ in range(n)])

    reference = chains(2000)
    for k in range(40):
        found = interval(nspdk_resampled(chains(30), reference, weights(30, resamples=200, seed=k)))
        assert found is not None
        hits += found[0] <= 0 <= found[1]
    assert hits >= 33


def test_undefined_resamples_are_left_out() -> None:
    assert interval(np.array([1.0, np.nan, 2.0])) == pytest.approx([1.025, 1.975])
    assert interval(np.array([1.0, np.nan, np.nan])) is None
    with pytest.raises(InputError, match="at least one"):
        weights(0)
    with pytest.raises(InputError, match="no molecules"):
        Similarities.of([])


@pytest.mark.parametrize(
    ("text", "valid", "strict", "smiles", "fragments", "charged"),
    [
        ("OCC", True, True, "CCO", 1, 0),
        ("c1cc[nH]c1", True, True, "c1cc[nH]c1", 1, 0),
        ("C[N+](C)(C)C", True, True, "C[N+](C)(C)C", 1, 1),
        ("F/C=C/F", True, True, "FC=CF", 1, 0),
        ("C.CCO", True, False, "CCO", 2, 0),
        ("CN(C)(C)C", False, False, "CN(C)C", 2, 0),  # the first bond of N goes, and the largest fragment is kept
        ("C=O=C", False, False, "COC", 1, 0),
        ("[CH3]C(C)(C)=C", False, False, "CC(C)(C)C", 1, 0),
        ("[CH7]", False, False, "C", 1, 0),
        ("c1cccc1", False, False, "", 1, 0),
        ("C1CC", False, False, "", 0, 0),
        ("", False, False, "", 0, 0),
    ],
)
def test_texts_are_judged_as_graphs_are(text: str, valid: bool, strict: bool, smiles: str, fragments: int, charged: int) -> None:
    found = inspect(text)
    assert (found.valid, found.strict, found.smiles) == (valid, strict, smiles)
    assert (found.fragments, found.charged) == (fragments, charged)
    assert (found.fragment is None) == (not smiles)


def test_fragments_are_compared_as_counts() -> None:
    ones = np.ones((1, 2))
    assert parts_similarity([["a", "a"], ["b"]], [["a"], ["b", "b"]], ones)[0] == pytest.approx((2 * 1 + 1 * 2) / 5)
    assert np.isnan(parts_similarity([[], []], [["a"]], ones)[0])
    whole, cut = Chem.MolFromSmiles("CCC"), Chem.MolFromSmiles("CCOC(=O)c1ccccc1")
    assert fragments(whole) == ["CCC"]
    joined = [Chem.MolFromSmiles(text) for text in fragments(cut)]
    atoms = [atom.GetAtomicNum() for mol in joined for atom in mol.GetAtoms()]
    assert len(joined) > 1 and sum(number > 0 for number in atoms) == cut.GetNumHeavyAtoms()  # marks are atoms of number 0
    assert parts_similarity([["a"], ["a"]], [["a", "a"]], np.array([[1.0, 1.0], [2.0, 0.0]])).tolist()[0] == pytest.approx(1.0)


def test_chemnet_is_asked_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def predictions(model: str, smiles: list[str], batch_size: int, *, n_jobs: int, device: str) -> Any:
        seen.append(smiles)
        assert (model, n_jobs, device) == ("chemnet", 0, "cpu")
        return np.array([[len(text), text.count("C")] for text in smiles], np.float32)

    monkeypatch.setitem(sys.modules, "fcd", types.SimpleNamespace(load_ref_model=lambda: "chemnet", get_predictions=predictions))
    assert activations(["C", "CC", "CCO"], batch_size=2).tolist() == [[1, 1], [2, 2], [3, 2]] and list(map(len, seen)) == [2, 1]
    with pytest.raises(InputError, match="at least 2"):
        activations(["C"])
    monkeypatch.setitem(sys.modules, "fcd", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'polyscore\[fcd\]'"):
        activations(["C", "CC"])


def test_chemnet_itself() -> None:
    pytest.importorskip("fcd")
    alike, other = ["CCO", "CCN", "CCCO", "CC(C)O"] * 5, ["c1ccccc1C(=O)O", "c1ccccc1", "Cc1ccccc1", "Oc1ccccc1"] * 5
    one, two = (torch.from_numpy(activations(texts)) for texts in (alike, other))
    assert one.shape == (20, 512) and frechet(one, one) == pytest.approx(0, abs=1e-4) and frechet(one, two) > 1
