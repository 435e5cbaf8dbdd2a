"""A folder of images as a data module: `root/*.png`, or one subfolder per class, `root/cat/*.jpg`.

Files that cannot be read are left out, with a warning that names them: one bad download does not stop a training.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import InputError, MissingExtraError
from polyscore.training.order import Shuffled

__all__ = ["FolderOfImages", "ImageFiles", "find_images", "read_image"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


class Found(NamedTuple):
    """Files, the label of each (0 without classes), and the names of the classes."""

    files: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]


def find_images(root: str | os.PathLike[str]) -> Found:
    """The images of a folder, sorted; its subfolders are the classes, in the order of their names.

    Raises:
        InputError: no such folder, no image in it, or images both beside and inside the subfolders.
    """
    place = Path(root)
    if not place.is_dir():
        raise InputError(f"images: {place} is not a folder")
    plain = _images_in(place)
    folders = sorted(part for part in place.iterdir() if part.is_dir() and not part.name.startswith("."))
    classes = {folder.name: _images_in(folder) for folder in folders}
    classes = {name: files for name, files in classes.items() if files}
    if not plain and not classes:
        raise InputError(
            f"images: {place} holds no image; expected files or subfolders with files ending in {', '.join(SUFFIXES)}"
        )
    if plain and classes:
        raise InputError(f"images: {place} holds images both beside and inside its subfolders; move {plain[0].name} into a class")
    if plain:
        return Found(tuple(plain), (0,) * len(plain), ())
    labels = tuple(label for label, files in enumerate(classes.values()) for _ in files)
    return Found(tuple(file for files in classes.values() for file in files), labels, tuple(classes))


def read_image(path: Path, size: int, *, channels: int = 3) -> Tensor:
    """An image (channels, size, size) with values in [-1, 1]: the largest centred square, resized by area averaging.

    It is turned as its EXIF orientation says, and grey if `channels` is 1.

    Raises:
        InputError: a file that is no image, is damaged, or is larger than Pillow takes for honest.
        MissingExtraError: Pillow is not installed.
    """
    try:
        pillow, ops = import_module("PIL.Image"), import_module("PIL.ImageOps")
        refusals = (OSError, SyntaxError, ValueError, pillow.DecompressionBombError)
    except ImportError as error:
        raise MissingExtraError("reading images needs Pillow: pip install 'polyscore[images]'") from error
    try:
        with pillow.open(path) as file:
            image = ops.exif_transpose(file)
            if image.mode.startswith("I"):  # 16 bits a pixel, which `convert` would cut off at 255
                image = pillow.fromarray((np.asarray(image) / 257).astype(np.uint8))
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.convert("L" if channels == 1 else "RGB").crop((left, top, left + side, top + side))
            array = np.asarray(square.resize((size, size), pillow.Resampling.BOX), dtype=np.float32)
    except refusals as error:
        raise InputError(f"images: {path} cannot be read as an image ({error})") from error
    pixels = torch.from_numpy(array.copy()) / 127.5 - 1
    return pixels[None] if channels == 1 else pixels.movedim(-1, 0)


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


class ImageFiles(Dataset[dict[str, Any]]):
    """Elements `{"x0": (C, size, size), "cond": label}`, without `cond` where there are no classes; mirrored too, if wanted."""

    def __init__(
        self, files: Sequence[Path], labels: Sequence[int] | None, size: int, *, channels: int = 3, mirror: bool = False
    ) -> None:
        self.files, self.labels, self.size, self.channels, self.mirror = tuple(files), labels, size, channels, mirror

    def __len__(self) -> int:
        return len(self.files) * (2 if self.mirror else 1)

    def __getitem__(self, index: int) -> dict[str, Any]:
        turned, place = divmod(index, len(self.files))
        image = read_image(self.files[place], self.size, channels=self.channels)
        element: dict[str, Any] = {"x0": image.flip(-1) if turned else image}
        return element if self.labels is None else {**element, "cond": self.labels[place]}


class FolderOfImages(LightningDataModule):
    """Batches `{"x0": (B, channels, size, size), "cond": (B,)}` from the images of a folder, values in [-1, 1].

    Args:
        root: folder of images, or of one subfolder a class.
        size: side of the square each image is cropped and resized to.
        channels: 3 for colour, 1 for grey.
        batch_size: samples a batch.
        mirror: also train on the mirror images.
        held_out: every how many-th image is for validation instead of training.
        workers: processes that read images.
        seed: of the order.

    Attributes:
        skipped: the files that cannot be read, each with the reason; known after `setup`.

    Raises:
        InputError: no folder, no image that can be read, fewer images than a batch, or `held_out` below 2.
    """

    def __init__(
        self,
        root: str,
        size: int = 32,
        channels: int = 3,
        *,
        batch_size: int = 64,
        mirror: bool = False,
        held_out: int = 20,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if held_out < 2:
            raise InputError(f"FolderOfImages: held_out {held_out}, expected 2 or more (every second image, or fewer)")
        self.root, self.size, self.channels, self.batch_size = root, size, channels, batch_size
        self.mirror, self.held_out, self.workers, self.seed = mirror, held_out, workers, seed
        self.skipped: dict[Path, str] = {}
        self._found: Found | None = None

    def setup(self, stage: str = "fit") -> None:
        """Find the images and read each once, so that a damaged one is known before the training."""
        if self._found is not None:
            return
        self._found = find_images(self.root)
        for path in self._found.files:
            try:
                read_image(path, self.size, channels=self.channels)
            except InputError as error:
                self.skipped[path] = str(error)
        if len(self.skipped) == len(self._found.files):
            raise InputError(f"FolderOfImages: no image can be read; {next(iter(self.skipped.values()))}")
        if self.skipped:
            shown = "; ".join(list(self.skipped.values())[:3]) + ("; ..." if len(self.skipped) > 3 else "")
            warnings.warn(f"{len(self.skipped)} of {len(self._found.files)} images are left out: {shown}", stacklevel=1)

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        data = self._part(train=True)
        if len(data) < self.batch_size:
            raise InputError(f"FolderOfImages: batch_size {self.batch_size}, {self.root} has {len(data)} images to train on")
        order = Shuffled(len(data), seed=self.seed)
        return DataLoader(data, self.batch_size, sampler=order, drop_last=True, num_workers=self.workers)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        return DataLoader(self._part(train=False), self.batch_size, num_workers=self.workers)

    def _part(self, *, train: bool) -> ImageFiles:
        self.setup()
        found = self._found
        assert found is not None  # `setup` sets it or raises
        part = [i for i in range(len(found.files)) if (i % self.held_out == self.held_out - 1) != train]
        chosen = [i for i in part if found.files[i] not in self.skipped]
        labels = [found.labels[i] for i in chosen] if found.classes else None
        files = [found.files[i] for i in chosen]
        return ImageFiles(files, labels, self.size, channels=self.channels, mirror=self.mirror and train)
