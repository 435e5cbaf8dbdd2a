"""A question to the denoiser that is put only if somebody wants the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyscore.denoisers.base import Prediction, begin
from polyscore.state import Time

if TYPE_CHECKING:
    from polyscore.samplers.stepper import Run

__all__ = ["Asked"]


class Asked:
    """A prediction that is made when it is first looked at: where a transition does not look, there is no call.

    Attributes:
        made: the prediction, None until then.
    """

    def __init__(self, run: Run, x: Any, t: Time, i: int) -> None:
        self._question = (run, x, t, i)
        self.made: Prediction | None = None

    def _answer(self) -> Prediction:
        if self.made is None:
            run, x, t, i = self._question
            begin(run.denoiser, i, 0)
            self.made = run.denoiser(x, t, run.given)
        return self.made

    @property
    def x0(self) -> Any:
        return self._answer().x0

    @property
    def eps(self) -> Any:
        return self._answer().eps
