"""The card of a model: what it is, from which data, under which licence, how good, and by which command; in markdown.

It begins with a block of ``key: value`` lines between two ``---`` lines, which model hubs read too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["card_template", "card_fields", "default_card"]


def card_template(
    name: str, what: str, *, data: str, licence: str, metrics: Mapping[str, object], command: str, limits: str = ""
) -> str:
    """A filled-in ``card.md``.

    Args:
        name: the model's name.
        what: one line, what it does.
        data: what it was trained on, each source with its licence.
        licence: SPDX identifier of the weights' licence (``Apache-2.0``).
        metrics: name -> value; the name says test set, unit and n.
        command: the command that trained it.
        limits: what it cannot do, if anything is known.
    """
    rows = [f"| {key} | {value} |" for key, value in metrics.items()]
    sections = {
        "Data": data,
        "Licence": licence,
        "Metrics": "\n".join(["| metric | value |", "|---|---|", *rows]) if rows else "None was measured.",
        "Limits": limits,
        "Trained by": f"```\n{command}\n```",
    }
    head = [
        "---",
        f"license: {licence.lower()}",
        f"summary: {' '.join(what.split())}",
        "library_name: polyscore",
        "---",
    ]
    body = [f"## {title}\n\n{text.strip()}\n" for title, text in sections.items() if text.strip()]
    return "\n".join([*head, "", f"# {name}", "", what.strip(), "", *body])


def card_fields(text: str) -> dict[str, str]:
    """The ``key: value`` lines at the top of a card; empty without such a block."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in (line.strip() for line in lines[1:]):
        return {}
    end = next(i for i, line in enumerate(lines[1:], 1) if line.strip() == "---")
    pairs = (line.partition(":") for line in lines[1:end])
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def default_card(model: nn.Module) -> str:
    """What can be said of a model whose author gave no card."""
    count = sum(parameter.numel() for parameter in model.parameters())
    what = f"{type(model).__name__} with {count} parameters"
    head = f"---\nsummary: {what}\nlibrary_name: polyscore\n---\n"
    return f"{head}\n# {what}\n\nIts author left no card: data and licence are unknown.\n"
