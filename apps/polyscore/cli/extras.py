"""Which extra brings a package: an import that failed becomes a sentence with the pip command.

The extra is that of the domain whose code wanted the package (``train`` for the core's training), where it lists the package;
else the first extra that does; else the package itself is named. The lists are those of the installed metadata.
"""

from __future__ import annotations

import re
from importlib import metadata

__all__ = ["sentence"]

_DISTRIBUTIONS = {
    "cv2": "opencv-python-headless", "PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "yaml": "pyyaml",
}  # fmt: skip
"""Where the name to install is not the name to import."""

_WHOLES = ("all", "audio-data", "dev", "docs")
"""Extras that nobody needs for the sake of one package."""


def sentence(error: ModuleNotFoundError) -> str | None:
    """What is missing and how to install it; None for a module of polyscore itself, which is a bug."""
    package = (error.name or "").partition(".")[0]
    if package in ("", "polyscore"):
        return None
    holders = _holders(_normal(_DISTRIBUTIONS.get(package, package)))
    wanted = [extra for extra in reversed(_packages_on_the_way(error)) if extra in holders]
    what = f"'polyscore[{(wanted or holders)[0]}]'" if holders else _DISTRIBUTIONS.get(package, package)
    return f"this needs the package {package}, which is not installed: pip install {what}"


def _holders(distribution: str) -> list[str]:
    """The extras that list it, in their order."""
    try:
        lines = metadata.requires("polyscore") or []
    except metadata.PackageNotFoundError:  # a source tree on the path
        return []
    found = (re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", line) for line in lines)
    return [match[2] for match in found if match and _normal(match[1]) == distribution and match[2] not in _WHOLES]


def _packages_on_the_way(error: BaseException) -> list[str]:
    """The domains whose code was running, outermost first."""
    found, trace = [], error.__traceback__
    while trace is not None:
        parts = str(trace.tb_frame.f_globals.get("__name__", "")).split(".")
        if parts[0] == "polyscore" and len(parts) > 1:
            found.append("train" if parts[1] == "training" else parts[1])
        trace = trace.tb_next
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
