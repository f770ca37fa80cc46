"""Folders of image files, read with Pillow.

A folder holds either images, or one subfolder of images per class: the subfolders, sorted by name
as text, are classes 0, 1, … (so "10" comes before "2"). Samples are in the order of class, then
file name. Names that begin with a dot are skipped; anything else that is no image is refused.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from errbound.data._dataset import Dataset
from errbound.errors import InputError

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # never those that start programs
_GREY = ("1", "L", "LA", "La")
_WIDE = ("I", "F")  # first letters of modes with more than 8 bits a value
_MOST = 65_535  # pixels along a side
_SHOWN = 10  # classes named in the note


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from "H,W", or from "N" for both.

    Raises:
        InputError: If that is not one or two numbers from 1 to 65,535.
    """
    parts = [part.strip() for part in text.split(",")]
    sizes = [int(p) for p in parts if p.isascii() and p.isdigit() and len(p) <= len(str(_MOST))]
    if len(sizes) != len(parts) or len(sizes) > 2 or not all(1 <= n <= _MOST for n in sizes):
        raise InputError(f"--size {text!r}: give H,W or N in pixels, each from 1 to {_MOST}")
    return sizes[0], sizes[-1]


def load_folder(path: Path, size: tuple[int, int] | None = None) -> Dataset:
    """Read all images of a folder.

    Images are grey, shape (1, H, W), if all of them are, else colour, (3, H, W): red, green, blue.
    Colour models other than RGB are converted by Pillow; transparency and orientation tags are
    ignored.

    Args:
        path: The folder.
        size: Height and width in pixels: each image of another size is resized, whatever its
            proportions, by Pillow's bilinear filter with antialiasing, rounded to 8 bits (``note``
            says so). ``None``: all images must have one size.

    Returns:
        Inputs uint8 (N, C, H, W); labels, if there are subfolders, and a ``note`` that names the
        classes.

    Raises:
        InputError: For a folder without images, with images beside subfolders, an empty subfolder,
            images of different sizes without ``size``, files that are unreadable or no images, of
            more than 8 bits a value, with several frames or very large, or too many for memory.
    """
    files, classes = _listed(path)
    probed = [_probe(file) for file in files]
    shapes, grey = [shape for shape, _ in probed], all(g for _, g in probed)
    height, width = shape = size or shapes[0]
    other = next((i for i, found in enumerate(shapes) if found != shape), None)
    if size is None and other is not None:
        raise InputError(
            f"{files[other]}: is {_by(shapes[other])} pixels high and wide, but {files[0]} is "
            f"{_by(shape)}: give --size {height},{width} to resize all"
        )
    channels = 1 if grey else 3
    try:
        pixels = np.empty((len(files), height, width, channels), np.uint8)
    except (MemoryError, ValueError):
        raise InputError(
            f"{path}: {len(files)} images of {_by(shape)} do not fit into memory: "
            "give a smaller --size or fewer images"
        ) from None
    for row, file in zip(pixels, files, strict=True):
        row[...] = _read(file, grey, shape).reshape(row.shape)
    counts = [len(images) for images in classes.values()]
    labels = np.repeat(np.arange(len(counts)), counts) if classes else None
    name = path.resolve().name or "images"
    dataset = Dataset.from_arrays(pixels.transpose(0, 3, 1, 2), labels, name=name, source=str(path))
    notes = [_named(list(classes))] if classes else []
    if other is not None:
        resized = sum(found != shape for found in shapes)
        notes.append(f"images resized to {_by(shape)} (bilinear, antialiased): {resized:,}")
    return dataset.with_note("; ".join(notes))


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _named(classes: list[str]) -> str:
    shown = ", ".join(f"{index} = {name}" for index, name in enumerate(classes[:_SHOWN]))
    return f"classes are the subfolders: {shown}{', ...' if len(classes) > _SHOWN else ''}"


def _listed(path: Path) -> tuple[list[Path], dict[str, list[Path]]]:
    """The images in their order, and those of each class if there are subfolders."""
    entries = _entries(path)
    folders = [entry for entry in entries if entry.is_dir()]
    if folders and len(folders) != len(entries):
        stray = next(entry for entry in entries if entry not in folders)
        raise InputError(
            f"{stray}: stands beside subfolders: keep images in one subfolder per class, or all "
            "of them in one folder"
        )
    classes = {folder.name: _entries(folder) for folder in folders}
    files = [file for images in classes.values() for file in images] if folders else entries
    for file in files:
        if not file.is_file():
            kind = "a folder inside a class" if file.is_dir() else "no regular file"
            raise InputError(f"{file}: is {kind}: keep only images there")
    return files, classes


def _entries(path: Path) -> list[Path]:
    """What is in a folder, sorted by name, without hidden names."""
    try:
        names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}): check the path and its permissions"
        ) from None
    if not names:
        raise InputError(f"{path}: holds no images: put images there, or remove the folder")
    return [path / name for name in names]


def _probe(path: Path) -> tuple[tuple[int, int], bool]:
    """Height and width, and whether the image is grey; refuses what cannot be used."""
    with _opened(path) as image:
        frames = getattr(image, "n_frames", 1)
        if frames != 1:
            raise InputError(f"{path}: holds {frames} frames: keep one image per file")
        wide = any(";16" in str(tile[-1]) for tile in image.tile)
        if wide or image.mode.startswith(_WIDE):
            raise InputError(f"{path}: has more than 8 bits a value: save it with 8, or as .npz")
        return (image.height, image.width), image.mode in _GREY


def _read(path: Path, grey: bool, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The pixels, uint8 (H, W) if grey, else (H, W, 3)."""
    with _opened(path) as image:
        converted = image.convert("L" if grey else "RGB")
        if (converted.height, converted.width) != shape:
            converted = converted.resize(shape[::-1], Image.Resampling.BILINEAR)
        return np.asarray(converted)


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                yield image
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{path}: is too large an image: make it smaller") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{path}: is no image of {', '.join(_FORMATS)}: remove it or save it as PNG"
        ) from None
    except Exception as error:  # what Pillow raises for damaged bytes is a long, open list
        denied = error.strerror if isinstance(error, OSError) else None
        reason = f"cannot be read ({denied})" if denied else "is a damaged image"
        raise InputError(f"{path}: {reason}: replace it with an intact copy") from None
