"""Folders of pictures: any size and kind, classes from sub-folders, and files that are no pictures."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyscore.cli import models
from polyscore.cli.main import main
from polyscore.errors import InputError
from polyscore.images import FolderOfImages
from polyscore.images.data.folder import find_images, read_image

Image = pytest.importorskip("PIL.Image")


def picture(path: Path, array: Any, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path, **settings)
    return path


def noise(height: int, width: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Nine cats and six dogs of different sizes and formats."""
    for i in range(9):
        picture(tmp_path / "pets" / "cat" / f"{i}.{('png', 'jpg', 'bmp')[i % 3]}", noise(5 + i, 20 - i, i))
    for i in range(6):
        picture(tmp_path / "pets" / "dog" / f"{i}.PNG", noise(9, 9, 100 + i))
    (tmp_path / "pets" / "dog" / "notes.txt").write_text("good dogs")
    (tmp_path / "pets" / ".cache").mkdir()
    return tmp_path / "pets"


def test_values_are_those_of_the_file(tmp_path: Path) -> None:
    array = noise(6, 6)
    image = read_image(picture(tmp_path / "a.png", array), 6)
    assert torch.equal(image, torch.from_numpy(array).permute(2, 0, 1) / 127.5 - 1)


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(4, 10, (0, 4), (3, 7)), (9, 4, (2, 6), (0, 4))])
def test_the_largest_centred_square_is_kept(tmp_path: Path, height: int, width: int, rows: Any, columns: Any) -> None:
    array = noise(height, width)
    image = read_image(picture(tmp_path / "a.png", array), 4)
    kept = array[slice(*rows), slice(*columns)]
    assert torch.equal(image, torch.from_numpy(kept.copy()).permute(2, 0, 1) / 127.5 - 1)


def test_a_smaller_image_is_the_mean_of_areas(tmp_path: Path) -> None:
    array = noise(12, 12)
    image = read_image(picture(tmp_path / "a.png", array), 3)
    mean = torch.from_numpy(array).double().view(3, 4, 3, 4, 3).mean((1, 3)).permute(2, 0, 1) / 127.5 - 1
    assert (image - mean).abs().max() <= 1.0001 / 127.5  # Pillow rounds to bytes after each axis


def test_kinds_of_pixels(tmp_path: Path) -> None:
    steps = np.arange(16, dtype=np.uint16).reshape(4, 4) * 4369  # 0 .. 65535
    deep = read_image(picture(tmp_path / "deep.png", steps), 4, channels=1)
    assert torch.equal(deep[0], torch.from_numpy(steps // 257) / 127.5 - 1)
    grey = read_image(picture(tmp_path / "grey.png", steps.astype(np.uint8)), 4)
    assert torch.equal(grey[0], grey[1])
    Image.fromarray(noise(4, 4)).convert("P").save(tmp_path / "palette.gif")
    Image.fromarray(noise(4, 4)).convert("RGBA").save(tmp_path / "alpha.png")
    assert read_image(tmp_path / "palette.gif", 4).shape == read_image(tmp_path / "alpha.png", 4).shape == (3, 4, 4)


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    array = np.kron(np.array([[255, 0], [0, 0]], dtype=np.uint8), np.ones((8, 8), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise
    image = read_image(picture(tmp_path / "a.jpg", array, exif=exif, quality=100), 2, channels=1)
    assert image[0, 0, 1] > 0.9
    assert image[0].flatten()[[0, 2, 3]].max() < -0.9


def test_classes_are_the_sub_folders_by_name(pets: Path) -> None:
    found = find_images(pets)
    assert found.classes == ("cat", "dog")
    assert [path.parent.name for path in found.files] == ["cat"] * 9 + ["dog"] * 6
    assert found.labels == (0,) * 9 + (1,) * 6


def test_batches_and_what_is_held_out(pets: Path) -> None:
    data = FolderOfImages(str(pets), 8, batch_size=2, held_out=5, mirror=True)
    train, validation = data._part(train=True), data._part(train=False)
    assert len(validation) == 3  # the 5th, 10th and 15th
    assert len(train) == 2 * 12
    assert not set(train.files) & set(validation.files)  # no mirror image of a held-out one is trained on
    assert torch.equal(train[12]["x0"], train[0]["x0"].flip(-1))
    batch = next(iter(data.train_dataloader()))
    assert batch["x0"].shape == (2, 3, 8, 8)
    assert batch["cond"].dtype == torch.long
    assert sorted(label for batch in data.val_dataloader() for label in batch["cond"].tolist()) == [0, 1, 1]


def test_bad_files_are_named_and_left_out(pets: Path) -> None:
    (pets / "cat" / "page.jpg").write_text("<html>not found</html>")
    whole = (pets / "dog" / "1.PNG").read_bytes()
    (pets / "dog" / "1.PNG").write_bytes(whole[: len(whole) // 2])
    data = FolderOfImages(str(pets), 8, batch_size=2, held_out=5)
    with pytest.warns(UserWarning, match=r"2 of 16 images are left out: .*page.jpg cannot be read.*; .*1.PNG cannot be read"):
        data.setup()
    assert {path.name for path in data.skipped} == {"page.jpg", "1.PNG"}
    used = [*data._part(train=True).files, *data._part(train=False).files]
    assert len(used) == 14
    assert not set(used) & set(data.skipped)
    assert len(list(data.train_dataloader())) == len(data._part(train=True)) // 2


def test_a_plain_folder_has_no_classes(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / "plain" / f"{i}.png", noise(8, 8, i))
    data = FolderOfImages(str(tmp_path / "plain"), 8, batch_size=2, held_out=4)
    assert "cond" not in next(iter(data.train_dataloader()))


def test_folders_that_cannot_be_used(tmp_path: Path, pets: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        find_images(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image; expected files or subfolders"):
        find_images(tmp_path / "empty")
    (tmp_path / "empty" / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match="no image can be read"):
        FolderOfImages(str(tmp_path / "empty")).setup()
    picture(pets / "stray.png", noise(8, 8))
    with pytest.raises(InputError, match=r"both beside and inside its subfolders; move stray.png"):
        find_images(pets)
    (pets / "stray.png").unlink()
    with pytest.raises(InputError, match="batch_size 64, .* has 15 images to train on"):
        FolderOfImages(str(pets)).train_dataloader()
    with pytest.raises(InputError, match="held_out 1, expected 2 or more"):
        FolderOfImages(str(pets), held_out=1)


def test_the_command_line_shows_what_is_left_out(
    pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (pets / "cat" / "page.jpg").write_text("<html>not found</html>")

    def run(args: object) -> int:
        warnings.warn("a word to programmers", stacklevel=1)
        FolderOfImages(str(pets), 8).setup()
        return 0

    monkeypatch.setattr(models, "run", run)
    assert main(["models"]) == 0
    errors = capsys.readouterr().err
    assert errors.startswith("polyscore models: 1 of 16 images are left out: ")
    assert "page.jpg cannot be read as an image" in errors
    assert errors.count("\n") == 1
