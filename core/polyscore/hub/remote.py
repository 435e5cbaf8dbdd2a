"""Saved models on a Hugging Face hub; ``huggingface_hub`` is imported when one of these is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from polyscore.errors import CheckpointError, MissingExtraError
from polyscore.hub.folder import CARD, CONFIG, WEIGHTS, read_config
from polyscore.hub.weights import read_header

__all__ = ["push", "pull"]


def push(path: str | os.PathLike[str], repo: str, *, private: bool = False, message: str = "Upload by polyscore") -> str:
    """Upload a saved model to ``repo`` (``owner/name``, made if absent) and return its address.

    The card becomes the repository's README.md too.

    Raises:
        CheckpointError: ``path`` is no complete saved model; nothing is uploaded then.
        MissingExtraError: ``huggingface_hub`` is not installed.
    """
    folder = Path(path)
    read_config(folder)
    read_header(folder / WEIGHTS)
    api = _library().HfApi()
    address = api.create_repo(repo, private=private, exist_ok=True)
    api.upload_folder(repo_id=repo, folder_path=folder, allow_patterns=[CONFIG, WEIGHTS, CARD], commit_message=message)
    if (folder / CARD).is_file():
        api.upload_file(repo_id=repo, path_or_fileobj=folder / CARD, path_in_repo="README.md", commit_message=message)
    return str(address)


def pull(repo: str, *, revision: str | None = None) -> Path:
    """Download a saved model and return its folder, for :func:`~polyscore.hub.load`, in huggingface_hub's cache.

    Only the three files of a saved model are fetched. ``revision``: a branch, tag or commit; a commit never changes.

    Raises:
        CheckpointError: the repository holds no saved model of polyscore.
        MissingExtraError: ``huggingface_hub`` is not installed.
    """
    folder = Path(_library().snapshot_download(repo, revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD]))
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{repo} on the hub holds no {CONFIG}: it is no saved model of polyscore")
    read_config(folder)
    read_header(folder / WEIGHTS)
    return folder


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("push and pull need huggingface_hub: pip install 'polyscore[hub]'") from error
    return huggingface_hub
