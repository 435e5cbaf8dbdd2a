"""``polyscore models``: the models that come with the package, and what ``load`` understands besides."""

from __future__ import annotations

import argparse

from polyscore.cli import flags
from polyscore.cli.console import say, table
from polyscore.cli.report import Report

__all__ = ["HELP", "add_arguments", "run", "UNDERSTOOD"]

HELP = "list the shipped models, and what else can be loaded"

UNDERSTOOD = """\
--model (and polyscore.hub.load) takes one of these names or the folder of a saved model, as `polyscore fit` and
polyscore.hub.save write it: config.json, model.safetensors, card.md. Models on a Hugging Face hub come by
polyscore.hub.pull("owner/name"). Pickles (.ckpt, .pt, .pth, .bin) are never opened by it: `polyscore info FILE` says
what one is and how to read it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Only the report: the list is always the whole list."""
    flags.add(parser, "report", "quiet")


def run(args: argparse.Namespace) -> int:
    """Print the table; does not import torch."""
    from polyscore.hub.card import card_fields
    from polyscore.hub.files import readable_size
    from polyscore.hub.shipped import shipped

    rows = []
    with Report("models", args) as report:
        for model in shipped():
            with report.item(model.name, model.path) as item:
                card = model.path / "card.md"
                fields = card_fields(card.read_text(encoding="utf-8")) if card.is_file() else {}
                size = sum(file.stat().st_size for file in model.path.iterdir())
                licence, what = fields.get("license", "not stated"), fields.get("summary", "")
                item.update(domain=model.domain, bytes=size, licence=licence, what=what)
                rows.append((model.name, model.domain, readable_size(size), licence, what))
    if rows:
        say(table(("NAME", "DOMAIN", "SIZE", "LICENCE", "WHAT"), rows), quiet=args.quiet)
    else:
        say("No model is shipped with this installation.", quiet=args.quiet)
    say(f"\n{UNDERSTOOD}", quiet=args.quiet)
    return report.exit_code
