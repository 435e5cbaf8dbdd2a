"""Pictures of a MuJoCo scene without a window."""

from __future__ import annotations

from typing import Any

from polyscore.errors import MissingExtraError

__all__ = ["OffScreen"]


class OffScreen:
    """Draws what the camera "above" sees, (size, size, 3) bytes; the GL context is made with the first picture.

    Args:
        model: the scene.
        size: of the picture, in pixels.
        advice: what else can be done where MuJoCo cannot draw, as the end of a sentence.
    """

    def __init__(self, model: Any, size: int, *, advice: str) -> None:
        self.model, self.size, self.advice = model, size, advice
        self._renderer: Any = None

    def draw(self, data: Any) -> Any:
        """The scene in the state `data`.

        Raises:
            MissingExtraError: there is no GL library that draws off-screen.
        """
        if self._renderer is None:
            import mujoco  # late: an environment says in its own words that MuJoCo is absent

            try:
                self._renderer = mujoco.Renderer(self.model, self.size, self.size)
            except Exception as error:  # whatever the GL library has to say
                raise MissingExtraError(f"MuJoCo cannot draw off-screen here ({error}); {self.advice}") from error
        self._renderer.update_scene(data, camera="above")
        return self._renderer.render()

    def close(self) -> None:
        """Give the GL context back."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
