"""What an engine is: which model it asks, what it can be given besides words, and what it shows while it works.

Engines differ in the kind of model they ask and in what they hand over, and in nothing else that a caller sees: `load` finds the
model, `read` understands a phrase as that model does, and every frame holds a `Body`, which becomes a mesh and knows its colours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from polyscore.distillation import Record
from polyscore.errors import InputError
from polyscore.shapes.engines.result import Body
from polyscore.shapes.finishes import Finish
from polyscore.shapes.words import COLOURS, Words

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["Aid", "Engine", "Frame", "Request", "Spoken", "last"]

Aid = Literal["sketch", "paint"]


class Spoken(Protocol):
    """A phrase as a model understands it."""

    @property
    def finish(self) -> Finish:
        """How the surface looks."""

    def coloured(self, seed: int) -> Self:
        """The same with a colour, drawn by the seed where the phrase names none and the model needs one."""


M = TypeVar("M", bound=nn.Module)
W = TypeVar("W", bound=Spoken)


@dataclass(frozen=True)
class Request(Generic[W]):
    """What is wanted.

    Attributes:
        words: what `Engine.read` made of a phrase; a colour must be named by now.
        seed: of all noise.
        sketch: a coarse closed mesh in [-1/2, 1/2]^3 that the shape is to follow.
        paint: a closed mesh in [-1/2, 1/2]^3 that is to be coloured only.

    Raises:
        InputError: words without a colour, or both meshes.
    """

    words: W
    seed: int = 0
    sketch: Trimesh | None = None
    paint: Trimesh | None = None

    def __post_init__(self) -> None:
        if isinstance(self.words, Words) and self.words.colour is None:
            raise InputError(f"engine: {str(self.words)!r} names no colour; expected one of {', '.join(COLOURS)}")
        if self.sketch is not None and self.paint is not None:
            raise InputError("engine: a sketch changes the geometry and painting keeps it; expected one of them")


class Frame(NamedTuple):
    """A moment of the run.

    Attributes:
        done, of: steps.
        body: what there is of it.
        views: pictures (V, C, H, W) of it or wished for it.
        record: what score distillation did so far, where that is how it is made: clean views and sizes of the gradient.
    """

    done: int
    of: int
    body: Body
    views: Tensor | None = None
    record: Record | None = None


class Engine(ABC, Generic[M, W]):
    """Turns a request into a body. Frames come as the work goes on; the last one is the result.

    Attributes:
        shipped: name of the model it asks where none is named; None where one has to be.
        aids: what it can be given besides words.
    """

    shipped: ClassVar[str | None]
    aids: ClassVar[frozenset[Aid]] = frozenset()

    def model_name(self, name: str | None = None) -> str:
        """The name of the model to load: the given one, else the shipped one.

        Raises:
            InputError: neither is there.
        """
        found = name or self.shipped
        if found is None:
            raise InputError(f"{type(self).__name__}: it ships no model; expected the name or the folder of one")
        return found

    @abstractmethod
    def load(self, name: str, *, device: str | torch.device = "cpu") -> M:
        """The model it asks: a shipped one, or one in a folder.

        Raises:
            CheckpointError: there is none, or it is of another kind.
        """

    @abstractmethod
    def read(self, phrase: str) -> W:
        """The phrase as its model understands it.

        Raises:
            InputError: words that the model does not know.
        """

    @abstractmethod
    def frames(self, model: M, request: Request[W]) -> Iterator[Frame]:
        """The run, step by step."""

    @property
    @abstractmethod
    def nfe(self) -> int:
        """Evaluations of the network."""

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
