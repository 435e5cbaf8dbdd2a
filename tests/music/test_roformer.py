"""GETMusic's network: an independent formula under official names, the official file layouts, sizes, and rows on request."""

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore.errors import CheckpointError, InputError
from polyscore.music.getscore import GetVocabulary
from polyscore.music.networks.roformer import GetRoformer
from polyscore.music.song_model import SongModel
from polyscore.music.upstream import ours, read_roformer
from polyscore.state import Given

_HOME = "roformer.input_transformers."
_SMALL = {"vocab": 40, "embedding": 6, "rows": 14, "width": 128, "layers": 2, "hidden": 48}


def _official(vocab: int, embedding: int, rows: int, width: int, layers: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the original's state dict, without `rfm.`; `vocab` counts EMPTY and MASK."""
    steps = ("log_at", "log_bt", "log_ct", "log_1_min_ct", "Lt_history", "Lt_count")
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(steps, (100,))
    for name in ("log_cumprod_at", "log_cumprod_bt", "log_cumprod_ct", "log_1_min_cumprod_ct"):
        shapes[name] = (101,)
    joined = rows * embedding

    def linear(name: str, into: int, out: int) -> None:
        shapes[f"{_HOME}{name}.weight"], shapes[f"{_HOME}{name}.bias"] = (out, into), (out,)

    def norm(name: str, size: int) -> None:
        shapes[f"{_HOME}{name}.weight"] = shapes[f"{_HOME}{name}.bias"] = (size,)

    shapes[f"{_HOME}embeddings.word_embeddings.weight"] = (vocab, embedding)
    shapes[f"{_HOME}embeddings.token_type_embeddings.weight"] = (2, embedding)
    linear("embeddings.time_embeddings.0", 128, embedding)
    linear("embeddings.time_embeddings.2", embedding, embedding)
    norm("embeddings.LayerNorm", joined)
    linear("embeddings_project.0", joined, width)
    linear("embeddings_project.2", width, width)
    linear("outputs_project.0", width, joined)
    linear("outputs_project.2", joined, joined)
    shapes[f"{_HOME}encoder.embed_positions.weight"] = (1536, 64)
    for i in range(layers):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", width, width)
        linear(f"{layer}.attention.output.dense", width, width)
        norm(f"{layer}.attention.output.LayerNorm", width)
        linear(f"{layer}.intermediate.dense", width, hidden)
        linear(f"{layer}.output.dense", hidden, width)
        norm(f"{layer}.output.LayerNorm", width)
    linear("lm_head", embedding, vocab)
    return shapes


def _positions() -> Tensor:
    """HuggingFace's table: sines of all frequencies, then cosines."""
    angles = [[place / 10000 ** (2 * i / 64) for i in range(32)] for place in range(1536)]
    return torch.tensor([[*map(math.sin, row), *map(math.cos, row)] for row in angles])


def _state(seed: int = 0, **sizes: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in _official(**{**_SMALL, **sizes}).items():
        scale = 1 / math.sqrt(shape[-1]) if len(shape) > 1 else 0.1
        state[name] = scale * torch.randn(shape, generator=generator) + (1.0 if "LayerNorm.weight" in name else 0.0)
    word = f"{_HOME}embeddings.word_embeddings.weight"
    state[word] *= math.sqrt(state[word].shape[1])
    state[word][-2] = 0
    state[f"{_HOME}lm_head.weight"] = state[word]
    state[f"{_HOME}encoder.embed_positions.weight"] = _positions()
    return state


def _formula(state: dict[str, Tensor], x: Tensor, t: Tensor, source: Tensor) -> Tensor:
    """The original's forward pass, written with its names, HuggingFace's RoFormer, and dense masks of -10000."""

    def take(name: str) -> Tensor:
        return state[_HOME + name].double()

    def linear(name: str, h: Tensor) -> Tensor:
        return h @ take(f"{name}.weight").T + take(f"{name}.bias")

    def norm(name: str, h: Tensor) -> Tensor:
        h = h - h.mean(-1, keepdim=True)
        return h / (h.pow(2).mean(-1, keepdim=True) + 1e-12).sqrt() * take(f"{name}.weight") + take(f"{name}.bias")

    def silu(h: Tensor) -> Tensor:
        return h / (1 + (-h).exp())

    batch, rows, length = x.shape
    angle = t.double()[:, None] * torch.exp(-math.log(10000) * torch.arange(64).double() / 64)
    time = linear("embeddings.time_embeddings.0", torch.cat([angle.cos(), angle.sin()], -1))
    time = linear("embeddings.time_embeddings.2", silu(time))
    cell = take("embeddings.word_embeddings.weight")[x] + take("embeddings.token_type_embeddings.weight")[source]
    h = (cell + time[:, None, None]).permute(0, 2, 1, 3).reshape(batch, length, -1)
    h = norm("embeddings.LayerNorm", h)
    h = linear("embeddings_project.2", silu(linear("embeddings_project.0", h)))
    table = take("encoder.embed_positions.weight")[:length]
    sin, cos = (part.repeat_interleave(2, -1) for part in table.chunk(2, -1))
    place = torch.arange(length)
    far = (place[:, None] - place).abs() > 255 if length > 512 else torch.zeros(length, length, dtype=torch.bool)
    heads = h.shape[-1] // 64
    layers = sum(name.endswith("query.weight") for name in state)
    for i in range(layers):
        layer = f"encoder.layer.{i}."

        def split(name: str, h: Tensor = h, layer: str = layer) -> Tensor:
            return linear(layer + "attention.self." + name, h).view(batch, length, heads, 64).transpose(1, 2)

        def turned(v: Tensor) -> Tensor:
            return v * cos + torch.stack([-v[..., 1::2], v[..., ::2]], -1).reshape(v.shape) * sin

        scores = turned(split("query")) @ turned(split("key")).transpose(-1, -2) / 8 + far * -10000.0
        mixed = (scores.softmax(-1) @ split("value")).transpose(1, 2).reshape(batch, length, -1)
        h = norm(layer + "attention.output.LayerNorm", h + linear(layer + "attention.output.dense", mixed))
        inner = linear(layer + "intermediate.dense", h)
        inner = inner * (1 + torch.erf(inner / math.sqrt(2))) / 2
        h = norm(layer + "output.LayerNorm", h + linear(layer + "output.dense", inner))
    out = linear("outputs_project.2", silu(linear("outputs_project.0", h)))
    out = out.view(batch, length, rows, -1).permute(0, 2, 1, 3)
    return linear("lm_head", out)[..., :-2]


def _save(path: Path, model: Any, ema: Any) -> Path:
    torch.save({"last_epoch": 3, "last_iter": 10, "model": model, "ema": ema}, path)
    return path


@pytest.mark.parametrize("length", [7, 513])
def test_network_is_the_original_formula(length: int, tmp_path: Path) -> None:
    state = _state()
    network = read_roformer(_save(tmp_path / "a.pth", {f"rfm.{k}": v for k, v in _state(1).items()}, OrderedDict(state)))
    torch.manual_seed(0)
    x, source = torch.randint(0, 40, (2, 14, length)), torch.randint(0, 2, (2, 14, length))
    x[0, 3], x[1, 5] = 38, 39  # EMPTY and MASK
    t = torch.tensor([0.0, 97.0])
    with torch.no_grad():
        logits = network(x, t, Given(cond={"source": source}))
        cells = torch.randperm(2 * 14 * length)[:300]
        found = logits.rows(cells)
        expected = _formula(state, x, t, source).flatten(0, 2)[cells]
    assert found.shape == (len(cells), 39)
    assert (found[:, -1] == -torch.inf).all()
    torch.testing.assert_close(found[:, :-1].double(), expected, atol=1e-5, rtol=1e-5)


def test_both_layouts_of_a_file_are_read(tmp_path: Path) -> None:
    raw, averaged = _state(1), _state(2)
    path = _save(tmp_path / "a.pth", {f"rfm.{name}": value for name, value in raw.items()}, averaged)
    word = f"{_HOME}embeddings.word_embeddings.weight"
    assert torch.equal(read_roformer(path).table.weight, averaged[word])
    assert torch.equal(read_roformer(path, weights="model").table.weight, raw[word])
    assert torch.equal(read_roformer(_save(tmp_path / "b.pth", raw, None)).table.weight, raw[word])


def test_every_official_name_has_a_place_and_the_size_is_the_published_one() -> None:
    shapes = _official(vocab=11881, embedding=96, rows=14, width=768, layers=12, hidden=3072)
    assert len(shapes) == 221
    with torch.device("meta"):
        network = GetRoformer()
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    placed = {place: shape for name, shape in shapes.items() if (place := ours(name)) is not None}
    assert placed == own
    # The table of positions is a formula here.
    assert sum(value.numel() for value in network.parameters()) + 1536 * 64 == 90_794_569


def test_rows_are_made_on_request_and_empty_cells_do_not_speak() -> None:
    torch.manual_seed(0)
    network = GetRoformer(20, rows=3, embedding=4, width=16, layers=1, heads=2, hidden=8).eval()
    x = torch.randint(0, 20, (2, 3, 5))
    rows = network(x).rows(torch.arange(30))
    torch.testing.assert_close(network(x).rows(torch.tensor([7, 29, 7])), rows[[7, 29, 7]])
    assert (network.table.weight[20] == 0).all()
    with pytest.raises(InputError, match="expected \\(B, 3, L\\)"):
        network(x[:, :2])
    with pytest.raises(InputError, match="conditions \\['key'\\]"):
        network(x, None, Given(cond={"key": x}))


def _broken(kind: str) -> Any:
    state = dict(_state())
    if kind == "missing":
        del state[f"{_HOME}embeddings_project.0.bias"]
    elif kind == "foreign":
        state["unet.weight"] = torch.zeros(3)
    elif kind == "untied":
        state[f"{_HOME}lm_head.weight"] = state[f"{_HOME}lm_head.weight"] + 1
    elif kind == "positions":
        state[f"{_HOME}encoder.embed_positions.weight"] = torch.zeros(1536, 64)
    elif kind == "shape":
        state[f"{_HOME}embeddings_project.0.bias"] = torch.zeros(3)
    else:
        state["log_at"] = 3  # type: ignore[assignment]
    return state


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "do not fit"),
        ("foreign", "unet"),
        ("untied", "tied"),
        ("positions", "sinusoid"),
        ("shape", "do not fit"),
        ("number", "no tensor"),
    ],
)
def test_files_that_do_not_fit_are_named(kind: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"a\.pth.*{message}"):
        read_roformer(_save(tmp_path / "a.pth", {}, _broken(kind)))


class _Evil:
    def __reduce__(self) -> Any:
        return print, ("this must never run",)


def test_a_hostile_file_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckpointError, match="refused"):
        read_roformer(_save(tmp_path / "a.pth", _Evil(), None))
    assert "never" not in capsys.readouterr().out
    with pytest.raises(CheckpointError, match="no state dict"):
        read_roformer(_save(tmp_path / "b.pth", None, None))
    with pytest.raises(CheckpointError, match="no such file"):
        read_roformer(tmp_path / "none.pth")


def test_a_checkpoint_and_its_vocabulary_make_a_song_model(tmp_path: Path) -> None:
    vocabulary = GetVocabulary(piano=("60 64", "60 67"))
    state = _state(vocab=len(vocabulary.tokens) + 2)
    path = _save(tmp_path / "a.pth", {}, state)
    with pytest.raises(CheckpointError, match=r"dict\.txt: no such file"):
        SongModel.from_pretrained(path)
    (tmp_path / "dict.txt").write_text("".join(f"{token}\t0\n" for token in vocabulary.tokens))
    model = SongModel.from_pretrained(path)
    assert model.vocabulary == vocabulary
    assert not model.training
    assert torch.equal(model.network.table.weight, state[f"{_HOME}embeddings.word_embeddings.weight"])
    (tmp_path / "other.txt").write_text("".join(f"{token}\t0\n" for token in GetVocabulary().tokens))
    with pytest.raises(InputError, match="same number of tokens"):
        SongModel.from_pretrained(path, vocabulary=tmp_path / "other.txt")
