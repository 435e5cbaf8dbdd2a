"""Words: what a phrase means, what it may not say, and finishes that can be undone."""

from __future__ import annotations

import pytest
import torch

from polyscore.errors import InputError
from polyscore.shapes.finishes import FINISHES, shade, unshade
from polyscore.shapes.pictures import layers, picture, rig
from polyscore.shapes.words import COLOURS, Words, palette, parse


@pytest.mark.parametrize(
    ("phrase", "meaning"),
    [
        ("a red chair", ("chair", "red", "matte")),
        ("A GLOSSY blue mug", ("mug", "blue", "glossy")),
        ("chair, in green and with a metallic finish", ("chair", "green", "metal")),
        ("two? no", None),
        ("one shiny yellow aeroplane", ("plane", "yellow", "glossy")),
        ("boats", ("boat", None, "matte")),
        ("red red chair", ("chair", "red", "matte")),
    ],
)
def test_what_a_phrase_means(phrase: str, meaning: tuple[str, str | None, str] | None) -> None:
    if meaning is None:
        with pytest.raises(InputError, match="is not known"):
            parse(phrase)
        return
    words = parse(phrase)
    assert (words.kind, words.colour, words.finish.name) == meaning
    if words.colour is not None:
        assert parse(str(words)) == words


@pytest.mark.parametrize(
    ("phrase", "message"),
    [
        ("a red dragon", r"'dragon' is not known; the model knows the things chair, .*the colours red, .*finishes matte"),
        ("a red chiar", r"'chiar' is not known; did you mean chair"),
        ("a gren chair", r"'gren' is not known; did you mean green"),
        ("a red blue chair", r"names two colours, red and blue; expected one"),
        ("a chair table", r"names two kinds, chair and table"),
        ("something", r"'something' is not known"),
        ("red", r"names no thing; expected one of chair, table"),
        ("", r"names no thing"),
    ],
)
def test_what_a_phrase_may_not_say(phrase: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(phrase)


def test_numbers_tell_what_was_not_said() -> None:
    assert Words("table").numbers().tolist() == [1, len(COLOURS), 0]
    assert parse("a metal blue car").numbers().tolist() == [5, 4, 2]
    drawn = [Words("table").coloured(seed).colour for seed in range(8)]
    assert sorted(map(str, drawn)) == sorted(COLOURS)
    assert parse("a red car").coloured(5).colour == "red"


@pytest.mark.parametrize("finish", FINISHES)
def test_shading_can_be_undone(finish: object) -> None:
    generator = torch.Generator().manual_seed(1)
    normals = torch.nn.functional.normalize(torch.randn(200, 3, generator=generator) + torch.tensor([0.0, 0.0, 1.0]), dim=1)
    colour = torch.rand(200, 3, generator=generator) * 0.8
    seen = shade(colour, normals, finish)  # type: ignore[arg-type]
    kept = (seen < 1).all(1)
    assert kept.float().mean() > 0.5
    assert torch.allclose(unshade(seen, normals, finish)[kept], colour[kept], atol=1e-5)  # type: ignore[arg-type]


def test_a_matte_surface_that_faces_the_light_shows_its_colour() -> None:
    light = torch.tensor([[-0.4, 0.6, 0.7]]) / (0.16 + 0.36 + 0.49) ** 0.5
    colour = torch.tensor([[0.2, 0.5, 0.7]])
    assert torch.allclose(shade(colour, light, FINISHES[0]), colour, atol=1e-6)
    assert torch.allclose(shade(colour, -light, FINISHES[0]), 0.4 * colour, atol=1e-6)  # the ambient part alone


def test_pictures_are_linear_in_coverage() -> None:
    generator = torch.Generator().manual_seed(2)
    coverage = torch.rand(5, 6, generator=generator)
    normals = torch.nn.functional.normalize(torch.randn(5, 6, 3, generator=generator), dim=-1)
    image = picture(coverage, palette("green")[0].expand(5, 6, 3), normals, FINISHES[1])
    assert image.shape == (7, 5, 6)
    parts = layers(image)
    assert torch.allclose(parts.coverage, coverage, atol=1e-6)
    assert torch.allclose(parts.normal, coverage[..., None] * normals, atol=1e-6)
    empty = picture(torch.zeros(1, 1), torch.rand(1, 1, 3), normals[:1, :1], FINISHES[0])
    assert empty.flatten().tolist() == [-1.0] * 4 + [0.0] * 3
    assert rig(torch.tensor([10.0]), torch.tensor([20.0]), 4)[0].tolist() == [[10, 20], [100, 20], [190, 20], [280, 20]]
