"""`polyscore graphs` from a small model: files that agree, scores, seeds, resumption, refusals; and pictures of graphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

from polyscore import hub
from polyscore.cli.main import main
from polyscore.cli.report import validate
from polyscore.graphs import GraphGenerator
from polyscore.graphs.data import Communities, read_graphs, write_graphs
from polyscore.graphs.data.facts import Facts
from polyscore.graphs.pictures import draw_graph, write_pictures
from polyscore.graphs.transformer_training import transformer_generator


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows nothing but which edges are likely."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        facts = Facts((0, 0, 0, 0, 0, 2, 1, 1, 1), features=4, levels=(0.0, 1.0))
        made = transformer_generator(facts, width=16, pair_width=8, heads=2, layers=1)
    return hub.save(tmp_path_factory.mktemp("model") / "tiny", made)


def draw(model: Path, out: Path, *words: str) -> int:
    return main(["graphs", "--model", str(model), "-o", str(out), "--steps", "5", "--quiet", "--device", "cpu", *words])


def report_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "report.json").read_text())
    validate(found)
    return found


def test_all_files_hold_the_same_graphs(model: Path, tmp_path: Path) -> None:
    write_graphs(tmp_path / "test.g6", Communities(6, sizes=(6, 8)).graphs(0))
    test = str(tmp_path / "test.g6")
    words = ("--reference", test, "--train", test, "--kind", "tree", "--resamples", "20")
    assert draw(model, tmp_path / "out", "-n", "11", "--batch-size", "4", "--graphml", *words) == 0
    graphs = read_graphs(tmp_path / "out" / "graphs.g6")
    with np.load(tmp_path / "out" / "graphs.npz") as arrays:
        assert arrays["seeds"].tolist() == list(range(11))
        dense = [adj[:n, :n] for adj, n in zip(arrays["adj"], arrays["sizes"], strict=True)]
    files = sorted((tmp_path / "out" / "graphml").iterdir())
    assert [path.name for path in files][:2] == ["graph-00.graphml", "graph-01.graphml"] and len(files) == len(graphs) == 11
    for graph, other, path in zip(graphs, dense, files, strict=True):
        assert np.array_equal(graph, other) and np.array_equal(graph, read_graphs(path)[0])
        assert graph.any(0).all() or len(graph) == 1  # nodes without an edge were dropped
    report = report_of(tmp_path / "out")
    metrics = report["metrics"]
    assert [(item["nodes"], item["edges"]) for item in report["items"]] == [(len(g), g.sum() // 2) for g in graphs]
    assert metrics["nodes"]["mean"] == pytest.approx(np.mean([len(g) for g in graphs])) and report["nfe"] == 5
    assert metrics["valid"]["share"] == pytest.approx(np.mean([nx.is_tree(nx.from_numpy_array(g)) for g in graphs]))
    assert {"degree", "cluster", "orbit", "spectral", "unique", "novel", "vun", "edges", "cpu_seconds_per_graph"} <= set(metrics)
    assert (tmp_path / "out" / "grid.png").read_bytes().startswith(b"\x89PNG")
    one = tmp_path / "one.json"
    assert main(["evaluate", "graphs", str(tmp_path / "out" / "graphs.g6"), *words, "--quiet", "--report", str(one)]) == 0
    scored = json.loads(one.read_text())["metrics"]
    assert {name: metrics[name] for name in scored} == scored  # the same numbers as those of the verb that only scores


def test_batches_resumption_and_interruption_change_nothing(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("-n", "9", "--seed", "4", "--no-pictures", "--size", "6-8")
    assert draw(model, tmp_path / "one", *words, "--batch-size", "9") == 0
    calls, sample = [], GraphGenerator.sample

    def interrupted(self: GraphGenerator, *args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return sample(self, *args, **more)

    monkeypatch.setattr(GraphGenerator, "sample", interrupted)
    assert draw(model, tmp_path / "two", *words, "--batch-size", "2") == 130
    monkeypatch.undo()
    assert len(read_graphs(tmp_path / "two" / "graphs.g6")) == 4 == report_of(tmp_path / "two")["metrics"]["graphs"]
    assert draw(model, tmp_path / "two", *words, "--batch-size", "2") == 2  # there is a run already
    assert draw(model, tmp_path / "two", *words, "--batch-size", "2", "--resume") == 0
    one, two = (tmp_path / name / "graphs.g6" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_wrong_words_are_refused_in_one_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graphs", "--model", "qm9", "-o", str(tmp_path / "a")]) == 2
    assert "`polyscore molecules` draws from it" in capsys.readouterr().err
    assert main(["molecules", "--model", str(model), "-o", str(tmp_path / "a")]) == 2
    assert "`polyscore graphs` draws from it" in capsys.readouterr().err
    for words in (("--size", "20"), ("--size", "x"), ("--reference", str(tmp_path / "none.g6"))):
        assert draw(model, tmp_path / "a", *words) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "a").exists()


def test_a_bad_file_of_the_reference_is_left_out_with_a_sentence(model: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "test").mkdir()
    write_graphs(tmp_path / "test" / "good.g6", Communities(2, sizes=(6,)).graphs(0))
    (tmp_path / "test" / "bad.graphml").write_text("<graphml")
    words = ("-n", "2", "--no-pictures", "--reference", str(tmp_path / "test"), "--resamples", "5")
    assert draw(model, tmp_path / "out", *words) == 0
    error = capsys.readouterr().err
    assert "bad.graphml: cannot be read as a graph" in error and "it is left out" in error and error.count("\n") == 1
    assert "degree" in report_of(tmp_path / "out")["metrics"]


def test_a_picture_shows_the_graph_and_is_always_the_same(tmp_path: Path) -> None:
    star = nx.to_numpy_array(nx.star_graph(3), dtype=np.int64)
    picture = draw_graph(star, size=120)
    nodes = (np.abs(picture.astype(int) - (40, 95, 170)).sum(-1) < 30).astype(np.int64)
    assert picture.shape == (120, 120, 3) and nx.number_connected_components(pixels_of(nodes)) == 4
    assert np.array_equal(picture, draw_graph(star, size=120))
    strange = [np.zeros((0, 0), np.int64), np.zeros((1, 1), np.int64), np.zeros((3, 3), np.int64)]
    write_pictures(tmp_path / "grid.png", [*strange, np.kron(np.eye(40, dtype=np.int64), np.array([[0, 1], [1, 0]]))])
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")


def pixels_of(on: Any) -> nx.Graph:
    """Coloured pixels, neighbours joined."""
    places = {tuple(place) for place in np.argwhere(on).tolist()}
    graph = nx.Graph()
    graph.add_nodes_from(places)
    beside = [((y, x), (y + dy, x + dx)) for y, x in places for dy, dx in ((0, 1), (1, 0))]
    graph.add_edges_from(pair for pair in beside if pair[1] in places)
    return graph
