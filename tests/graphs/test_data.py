"""Generic graphs: files, degrees as features, splits, and the way back."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

from polyscore.errors import InputError
from polyscore.graphs.batch import Graphs
from polyscore.graphs.data import (
    BlockModels,
    Communities,
    EgoNetworks,
    Folder,
    GraphData,
    Planar,
    TUFolder,
    quantise,
    read_graphs,
    write_graphml,
    write_graphs,
)

TRIANGLE = np.ones((3, 3), np.int64) - np.eye(3, dtype=np.int64)
PATH = np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]])

XML = """<?xml version="1.0"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<graph edgedefault="directed"><node id="a"/><node id="b"/><node id="c"/>
<edge source="a" target="b"/><edge source="b" target="c"/><edge source="c" target="a"/><edge source="a" target="a"/></graph>
<graph><node id="0"/><node id="1"/></graph></graphml>"""


def test_files_give_their_graphs(tmp_path: Path) -> None:
    (tmp_path / "a.graphml").write_text(XML)
    (tmp_path / "b.edges").write_text("# a path\nu v 1.5\nv w\n\nw z  # the end\nw v\n")
    (tmp_path / "c.g6").write_bytes(b">>graph6<<Bw\nCh\n")
    node_link = {"nodes": [{"id": 7}, {"id": "x"}, {"id": 2}], "links": [{"source": 7, "target": 2}, {"source": 2, "target": 2}]}
    (tmp_path / "d.json").write_text(json.dumps([node_link, {"nodes": [{"id": 0}], "edges": []}]))
    (tmp_path / "notes.md").write_text("no graph")
    found = [graph.tolist() for graph in read_graphs(tmp_path)]
    files = {"a": [TRIANGLE.tolist(), [[0, 0], [0, 0]]], "b": [PATH.tolist()], "c": [TRIANGLE.tolist(), PATH.tolist()]}
    assert found == [*files["a"], *files["b"], *files["c"], [[0, 0, 1], [0, 0, 0], [1, 0, 0]], [[0]]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bad.edges", b"u v\nw\n"),
        ("bad.txt", b""),
        ("bad.csv", b"\xff\xfe\x00"),
        ("bad.graphml", XML[:200].encode()),
        ("bad.graphml", XML.replace(' target="b"', "").encode()),
        ("bad.g6", b"B\n"),
        ("bad.g6", b"~~~~~~~~?\n"),
        ("bad.json", b"[" * 100_000),
        ("bad.json", b'{"nodes": 3, "links": []}'),
        ("bad.json", b'{"nodes": [{"id": [1]}], "links": []}'),
        ("bad.json", b'"text"'),
    ],
)
def test_a_bad_file_is_named_in_one_sentence_and_the_others_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: cannot be read as a graph") as caught:
        read_graphs(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "good.edges").write_text("a b\n")
    with pytest.warns(UserWarning, match=rf"{name}: .*; it is left out"):
        assert [graph.tolist() for graph in Folder(str(tmp_path)).graphs(0)] == [[[0, 1], [1, 0]]]


def test_a_place_without_graphs_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no graphs"):
        read_graphs(tmp_path)
    with pytest.raises(InputError, match="nowhere.json: cannot be read"):
        read_graphs(tmp_path / "nowhere.json")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    graphs = [TRIANGLE, PATH, np.zeros((1, 1), np.int64), *BlockModels(2).graphs(0)]
    write_graphs(tmp_path / "all.g6", graphs)
    for i, graph in enumerate(graphs):
        write_graphml(tmp_path / "one" / f"{i}.graphml", graph)
    for found in (read_graphs(tmp_path / "all.g6"), read_graphs(tmp_path / "one")):
        assert all(np.array_equal(a, b) for a, b in zip(found, graphs, strict=True))
    assert nx.is_isomorphic(nx.read_graphml(tmp_path / "one" / "1.graphml"), nx.path_graph(4))


def tu(folder: Path, edges: str, owners: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "SET_A.txt").write_text(edges)
    (folder / "SET_graph_indicator.txt").write_text(owners)
    return folder


def test_a_folder_of_the_tu_collection(tmp_path: Path) -> None:
    place = tu(tmp_path / "set", "1, 2\n2, 1\n2,3\n3, 2\n3, 1\n1, 3\n6, 5\n5, 6\n", "1\n1\n1\n1\n2\n2\n3\n")
    assert [graph.tolist() for graph in read_graphs(place)] == [TRIANGLE.tolist(), [[0, 1], [1, 0]]]  # nodes 4 and 7 are alone
    assert [len(graph) for graph in TUFolder(str(place), smallest=3).graphs(0)] == [3]
    with pytest.raises(InputError, match="no graph has 10 nodes"):
        TUFolder(str(place)).graphs(0)
    cases = (("1, 9\n", "1\n1\n", "do not fit"), ("1, 2\n", "1\n2\n", "between"), ("a", "1\n", "cannot be"))
    for edges, owners, message in cases:
        with pytest.raises(InputError, match=message):
            read_graphs(tu(tmp_path / "set", edges, owners))


def test_neighbourhoods_of_a_large_graph(tmp_path: Path) -> None:
    star = "".join(f"hub leaf{i}\n" for i in range(5)) + "leaf0 far\nfar farther\nalone other\n"
    (tmp_path / "big.cites").write_text(star)
    found = EgoNetworks(str(tmp_path / "big.cites")).graphs(1)
    assert [sorted(graph.sum(1).tolist()) for graph in found] == [[1, 1, 1, 1, 1, 5]]
    wider = EgoNetworks(str(tmp_path / "big.cites"), radius=2, smallest=3).graphs(1)
    assert sorted(len(graph) for graph in wider) == [3, 4, 6, 6, 6, 6, 7, 8]
    with pytest.raises(InputError, match="no neighbourhood has 40 to 50"):
        EgoNetworks(str(tmp_path / "big.cites"), smallest=40, largest=50).graphs(0)


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
    data = GraphData(Folder(str(tmp_path), shuffle=False), test=0.34, repeat=3, batch_size=4)
    train, held = data.parts()
    assert (len(train), len(held)) == (6, 1)
    assert data.facts.sizes == (0, 0, 1, 0, 1) and data.facts.features == 3 and data.facts.levels == (0.0, 1.0)
    batch = train.__getitems__([1, 0])
    assert batch["x0"]["adj"][0].tolist() == PATH.tolist()
    assert batch["x0"]["x"][0].argmax(-1).tolist() == [1, 2, 2, 1] and batch["mask"].sum(1).tolist() == [4, 2]
    torch.testing.assert_close(batch["x0"]["x"].sum(-1), batch["mask"])
    assert [len(part) for part in GraphData(Communities(20), repeat=2).parts()] == [32, 4]
    narrow = GraphData(Folder(str(tmp_path), shuffle=False), test=0.34, features=2).parts()[0]
    assert narrow.__getitems__([1])["x0"]["x"][0].argmax(-1).tolist() == [1, 1, 1, 1]


def test_the_published_splits() -> None:
    first_fifth, three = GraphData(Planar(20, nodes=8)), GraphData(Planar(200, nodes=5), validation=0.2)
    graphs = Planar(20, nodes=8).graphs(0)
    train, watched, tested = first_fifth.split()
    assert watched is tested and [graph.tolist() for graph in (*tested, *train)] == [graph.tolist() for graph in graphs]
    assert [len(part) for part in three.split()] == [128, 32, 40]
    with pytest.raises(InputError, match=r"test 1\.0"):
        GraphData("", test=1.0)
