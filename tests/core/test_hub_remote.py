"""Push and pull against a hub that lives in a folder: what is sent, what is fetched, what is refused. No network."""

from __future__ import annotations

import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from tests.core import hub_models as models

from polyscore.errors import CheckpointError, MissingExtraError
from polyscore.hub import load, pull, push, save


class FakeHub(types.ModuleType):
    """The four functions of huggingface_hub that are used, over local folders."""

    def __init__(self, root: Path) -> None:
        super().__init__("huggingface_hub")
        self.root = root
        self.private: dict[str, bool] = {}

    def HfApi(self) -> FakeHub:
        return self

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> str:
        (self.root / repo).mkdir(parents=True, exist_ok=exist_ok)
        self.private[repo] = private
        return f"https://hub/{repo}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], commit_message: str) -> None:
        for name in allow_patterns:
            shutil.copy(folder_path / name, self.root / repo_id / name)

    def upload_file(self, *, repo_id: str, path_or_fileobj: Path, path_in_repo: str, commit_message: str) -> None:
        shutil.copy(path_or_fileobj, self.root / repo_id / path_in_repo)

    def snapshot_download(self, repo: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        target = self.root / "cache" / repo / (revision or "main")
        target.mkdir(parents=True)
        for name in allow_patterns:
            if (self.root / repo / name).exists():
                shutil.copy(self.root / repo / name, target / name)
        return str(target)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    return fake


def test_a_model_goes_to_the_hub_and_comes_back(tmp_path: Path, hub: FakeHub) -> None:
    folder = save(tmp_path / "m", models.Inner(4), card="# mine")
    (folder / "notes.txt").write_text("private")
    assert push(folder, "me/mine", private=True) == "https://hub/me/mine"
    assert hub.private == {"me/mine": True}
    sent = {path.name for path in (hub.root / "me/mine").iterdir()}
    assert sent == {"config.json", "model.safetensors", "card.md", "README.md"}
    assert (hub.root / "me/mine/README.md").read_text() == "# mine"
    assert load(pull("me/mine"), allow=("tests",)).width == 4


def test_a_damaged_model_is_not_sent(tmp_path: Path, hub: FakeHub) -> None:
    folder = save(tmp_path / "m", models.Zoo([]))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="truncated"):
        push(folder, "me/mine")
    assert not hub.root.exists()


def test_a_repository_without_a_model_is_named(hub: FakeHub) -> None:
    (hub.root / "me/other").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"me/other on the hub holds no config.json"):
        pull("me/other")


def test_without_the_library_the_command_to_install_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'polyscore\[hub\]'"):
        pull("me/mine")


def test_the_real_library_has_the_functions_that_are_called() -> None:
    import inspect

    library: Any = pytest.importorskip("huggingface_hub")
    used = {
        library.HfApi.create_repo: {"private", "exist_ok"},
        library.HfApi.upload_folder: {"repo_id", "folder_path", "allow_patterns", "commit_message"},
        library.HfApi.upload_file: {"repo_id", "path_or_fileobj", "path_in_repo", "commit_message"},
        library.snapshot_download: {"revision", "allow_patterns"},
    }
    for function, names in used.items():
        assert names <= set(inspect.signature(function).parameters)
