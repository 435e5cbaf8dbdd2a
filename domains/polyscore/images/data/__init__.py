"""Data modules of images."""

from polyscore.images.data.digits import Digits, DigitsData, digits
from polyscore.images.data.folder import FolderOfImages

__all__ = ["Digits", "DigitsData", "FolderOfImages", "digits"]
