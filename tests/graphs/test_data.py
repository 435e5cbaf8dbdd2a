"""Generic graphs: files, the recipe, degrees as features, and the way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from polyscore.errors import InputError
from polyscore.graphs.batch import Graphs
from polyscore.graphs.data import CommunityData, GraphData, communities, quantise, read_graphs

TRIANGLE = np.ones((3, 3), np.int64) - np.eye(3, dtype=np.int64)
PATH = np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]])

XML = """<?xml version="1.0"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<graph edgedefault="directed"><node id="a"/><node id="b"/><node id="c"/>
<edge source="a" target="b"/><edge source="b" target="c"/><edge source="c" target="a"/><edge source="a" target="a"/></graph>
<graph><node id="0"/><node id="1"/></graph></graphml>"""


def test_files_give_their_graphs(tmp_path: Path) -> None:
    (tmp_path / "a.graphml").write_text(XML)
    (tmp_path / "b.edges").write_text("# a path\nu v 1.5\nv w\n\nw z  # the end\nw v\n")
    (tmp_path / "notes.md").write_text("no graph")
    found = read_graphs(tmp_path)
    assert [graph.tolist() for graph in found] == [TRIANGLE.tolist(), [[0, 0], [0, 0]], PATH.tolist()]
    (tmp_path / "b.edges").write_text("u v\nw\n")
    with pytest.raises(InputError, match=r"b\.edges: cannot be read as a graph"):
        read_graphs(tmp_path)
    (tmp_path / "a.graphml").write_text(XML[:200])
    with pytest.raises(InputError, match=r"a\.graphml: cannot be read as a graph"):
        read_graphs(tmp_path / "a.graphml")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no graphs"):
        read_graphs(tmp_path / "empty")


def test_communities_have_the_recipe_s_edges() -> None:
    graphs = communities(400, seed=3)
    assert {len(graph) for graph in graphs} == {12, 14, 16, 18, 20}
    inside, pairs = 0, 0
    for graph in graphs:
        half = len(graph) // 2
        assert (graph == graph.T).all() and not graph.diagonal().any()
        assert graph[:half, half:].sum() == 1  # 5 % of 12 to 20 nodes
        inside += graph.sum() // 2 - 1
        pairs += half * (half - 1)
    assert abs(inside / pairs - 0.7) < 4 * (0.21 / pairs) ** 0.5
    assert [graph.tolist() for graph in communities(3, seed=3)] == [graph.tolist() for graph in graphs[:3]]
    with pytest.raises(InputError, match="expected even sizes"):
        communities(1, sizes=(13,))


def test_quantise_undoes_noise_and_drops_what_has_no_edge() -> None:
    adj = torch.zeros(3, 5, 5)
    adj[0, :3, :3] = torch.from_numpy(TRIANGLE) * 0.5 + 0.2 * torch.eye(3)
    adj[1, 1:, 1:] = torch.from_numpy(PATH) * 1.3 - 0.4
    adj[2] = 0.49
    found = quantise(Graphs(torch.zeros(3, 5, 1), adj, torch.ones(3, 5)))
    assert [graph.tolist() for graph in found] == [TRIANGLE.tolist(), PATH.tolist(), [[0]]]


def test_batches_show_degrees_and_facts_show_the_training_part(tmp_path: Path) -> None:
    (tmp_path / "a.graphml").write_text(XML)
    (tmp_path / "b.edges").write_text("u v\nv w\nw z\n")
    data = GraphData(str(tmp_path), test=0.34, repeat=3, batch_size=4)
    train, held = data.parts()
    assert (len(train), len(held)) == (6, 1)
    assert data.facts.sizes == (0, 0, 1, 0, 1) and data.facts.features == 3 and data.facts.levels == (0.0, 1.0)
    batch = train.__getitems__([1, 0])
    assert batch["x0"]["adj"][0].tolist() == PATH.tolist()
    assert batch["x0"]["x"][0].argmax(-1).tolist() == [1, 2, 2, 1] and batch["mask"].sum(1).tolist() == [4, 2]
    torch.testing.assert_close(batch["x0"]["x"].sum(-1), batch["mask"])
    assert [len(part) for part in CommunityData(20, repeat=2).parts()] == [32, 4]
