"""What an engine is asked for, and what it shows while it works."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.engines.sketch import Sketch
from polyscore.shapes.fields import VoxelField
from polyscore.shapes.text import TextToShape
from polyscore.shapes.words import COLOURS, Words

__all__ = ["Engine", "Frame", "Request", "last"]


@dataclass(frozen=True)
class Request:
    """What is wanted.

    Attributes:
        words: kind, colour (which must be named by now) and finish.
        seed: of all noise.
        sketch: a coarse body that the shape is to follow.
        body: a finished geometry that is to be coloured only.

    Raises:
        InputError: words without a colour, or both a sketch and a body.
    """

    words: Words
    seed: int = 0
    sketch: Sketch | None = None
    body: VoxelField | None = None

    def __post_init__(self) -> None:
        if self.words.colour is None:
            raise InputError(f"engine: {str(self.words)!r} names no colour; expected one of {', '.join(COLOURS)}")
        if self.sketch is not None and self.body is not None:
            raise InputError("engine: a sketch changes the geometry and a body keeps it; expected one of them")


class Frame(NamedTuple):
    """A moment of the run: step `done` of `of`, the field, and pictures (V, 7, size, size) of it or wished for it."""

    done: int
    of: int
    field: VoxelField
    views: Tensor


class Engine(ABC):
    """Turns a request into a field. Frames come as the work goes on; the last one is the result."""

    @abstractmethod
    def frames(self, prior: TextToShape, request: Request) -> Iterator[Frame]:
        """The run, step by step."""

    @property
    @abstractmethod
    def nfe(self) -> int:
        """Evaluations of the network on a rig of four views."""

    @property
    @abstractmethod
    def length(self) -> int:
        """How many frames a run has, about."""


def last(frames: Iterator[Frame]) -> Frame:
    """The last frame of a run.

    Raises:
        InputError: there is none.
    """
    found = None
    for found in frames:  # noqa: B007
        pass
    if found is None:
        raise InputError("engine: the run has no frames; expected at least one step")
    return found
