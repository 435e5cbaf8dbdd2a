"""Windows of long waves: every sample once, nothing of an edge kept; noise that belongs to frames."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polyscore.audio.frame_noise import FrameNoise, mix_seed
from polyscore.audio.windows import Windows
from polyscore.errors import ConfigError, InputError

geometry = st.integers(1, 60).flatmap(lambda core: st.tuples(st.just(core), st.integers(0, core // 2).map(lambda n: 2 * n)))


@settings(max_examples=60, deadline=None)
@given(shape=geometry, length=st.integers(1, 400), batch=st.integers(1, 4))
def test_a_pointwise_function_passes_unchanged(shape: tuple[int, int], length: int, batch: int) -> None:
    wave = torch.randn(3, length, generator=torch.Generator().manual_seed(length), dtype=torch.complex64)
    sizes = []

    def twice(windows: Tensor) -> Tensor:
        sizes.append(len(windows))
        return 2 * windows[:, 1:]

    out = Windows(*shape)(twice, wave, batch_size=batch)
    assert torch.allclose(out, 2 * wave[1:], atol=1e-5)
    assert max(sizes) <= batch


@settings(max_examples=60, deadline=None)
@given(shape=geometry, length=st.integers(1, 400))
def test_cores_tile_the_wave_and_windows_stay_bounded(shape: tuple[int, int], length: int) -> None:
    core, context = shape
    spans = Windows(core, context).spans(length)
    assert [span.left for span in spans[1:]] == [span.right for span in spans[:-1]]
    assert (spans[0].left, spans[-1].right) == (0, length)
    for span in spans:
        assert span.length <= core + 3 * context
        assert span.start == max(0, span.left - context)
        assert span.stop == min(length, span.right + context)


def test_edges_of_windows_are_discarded() -> None:
    """A function that spoils what lies within half a context of a window's edges leaves no trace except at the ends."""
    windows, wave = Windows(100, 20), torch.ones(1, 1000)

    def spoil(w: Tensor) -> Tensor:
        w = w.clone()
        w[..., :10], w[..., -10:] = 9.0, 9.0
        return w

    out = windows(spoil, wave)
    assert torch.equal(out[0, 10:-10], torch.ones(980))


def test_a_filter_shorter_than_the_context_does_not_notice_the_windows() -> None:
    wave = torch.randn(2, 1, 3000, generator=torch.Generator().manual_seed(0))
    taps = torch.randn(1, 1, 41, generator=torch.Generator().manual_seed(1))

    def smooth(w: Tensor) -> Tensor:
        return torch.nn.functional.conv1d(w.reshape(-1, 1, w.shape[-1]), taps, padding=20).reshape(w.shape)

    assert torch.allclose(Windows(300, 60)(smooth, wave, batch_size=4), smooth(wave), atol=1e-5)


@pytest.mark.parametrize(("core", "context"), [(10, 12), (10, 3), (10, -2), (0, 0)])
def test_impossible_windows(core: int, context: int) -> None:
    with pytest.raises(ConfigError, match="expected an even context"):
        Windows(core, context)


# ---------------------------------------------------------------------- noise


def test_windows_see_the_noise_of_the_whole() -> None:
    whole = FrameNoise([7], [0])
    part = FrameNoise([7, 7], [100, 37])
    for _ in range(3):
        everything = whole(torch.empty(1, 1, 5, 300, dtype=torch.complex64))
        pieces = part(torch.empty(2, 1, 5, 80, dtype=torch.complex64))
        assert torch.equal(pieces[0], everything[0, ..., 100:180])
        assert torch.equal(pieces[1], everything[0, ..., 37:117])


def test_noise_differs_by_seed_draw_and_block_and_is_white() -> None:
    noise = FrameNoise([1, 2], [0, 0])
    like = torch.empty(2, 1, 64, 256, dtype=torch.complex64)
    first, second = noise(like), noise(like)
    rows = torch.stack([first[0], first[1], second[0], first[0].roll(64, -1)]).flatten(1)
    correlation = (rows @ rows.conj().T / rows.shape[1]).abs()
    assert torch.allclose(correlation, torch.eye(4), atol=0.05)
    assert first.real.var().item() == pytest.approx(0.5, rel=0.05)


def test_another_batch_size_is_refused() -> None:
    with pytest.raises(InputError, match="expected 2, one sample per seed"):
        FrameNoise([1, 2], [0, 0])(torch.empty(3, 1, 4, 4))


def test_mixed_seeds_are_stable_and_distinct() -> None:
    assert mix_seed(0, "a.wav") == 2816507418771202340
    assert len({mix_seed(a, b) for a in range(30) for b in range(30)}) == 900
    assert mix_seed(1, 23) != mix_seed(12, 3)
