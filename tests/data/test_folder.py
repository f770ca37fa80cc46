"""Folders of images: order, classes, colours, sizes, and what is refused."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from errbound.data import Dataset, load_folder, open_dataset

from .making import refused

NOISE = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return NOISE.integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, array: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return array


def opened(folder: Path, size: tuple[int, int] | None = None) -> Callable[[], Dataset]:
    return lambda: open_dataset(str(folder), size=size)


def test_grey_images_without_classes(tmp_path: Path) -> None:
    wanted = {name: save(tmp_path / name, pixels(3, 5)) for name in ("b.png", "a.bmp", "c.pgm")}
    dataset = opened(tmp_path)()
    assert (dataset.name, dataset.source, dataset.note) == (tmp_path.name, str(tmp_path), "")
    assert dataset.labels is None
    assert dataset.inputs.shape == (3, 1, 3, 5)
    assert dataset.inputs[:, 0].tolist() == [wanted[n].tolist() for n in sorted(wanted)]
    same = torch.from_numpy(np.stack([wanted[n] for n in sorted(wanted)])).float() / 255
    assert torch.equal(dataset.batch(0, 3)[:, 0], same)


def test_classes_are_subfolders_sorted_as_text(tmp_path: Path) -> None:
    wanted = [save(tmp_path / name, pixels(2, 2)) for name in ("1/z.png", "10/a.png", "2/b.png")]
    wanted.append(save(tmp_path / "2" / "c.png", pixels(2, 2)))
    dataset = opened(tmp_path)()
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 1, 2, 2]
    assert dataset.inputs[:, 0].tolist() == [w.tolist() for w in wanted]
    assert dataset.note == "classes are the subfolders: 0 = 1, 1 = 10, 2 = 2"


def test_many_classes_are_not_all_named(tmp_path: Path) -> None:
    for index in range(12):
        save(tmp_path / f"{index:02}" / "x.png", pixels(1, 1))
    assert opened(tmp_path)().note.endswith("9 = 09, ...")


def test_colour(tmp_path: Path) -> None:
    colour, grey = save(tmp_path / "a.png", pixels(4, 3, 3)), save(tmp_path / "b.png", pixels(4, 3))
    dataset = opened(tmp_path)()
    assert dataset.inputs.shape == (2, 3, 4, 3)
    assert np.array_equal(dataset.inputs[0], colour.transpose(2, 0, 1))
    assert np.array_equal(dataset.inputs[1], np.stack([grey] * 3)), "one colour image: all colour"
    assert dataset.batch(0, 2).is_contiguous()


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("LA", 1), ("P", 3), ("RGBA", 3), ("CMYK", 3)]
)
def test_other_modes_are_converted(tmp_path: Path, mode: str, channels: int) -> None:
    image = Image.fromarray(pixels(4, 4, 3)).convert(mode)
    image.save(tmp_path / f"a.{'tiff' if mode == 'CMYK' else 'png'}")
    dataset = opened(tmp_path)()
    converted = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    assert np.array_equal(dataset.inputs[0], converted.reshape(4, 4, channels).transpose(2, 0, 1))
    if mode == "1":
        assert set(np.unique(dataset.inputs)) == {0, 255}


def test_transparency_is_ignored(tmp_path: Path) -> None:
    array = pixels(2, 2, 4)
    save(tmp_path / "a.png", array)
    assert np.array_equal(opened(tmp_path)().inputs[0], array[..., :3].transpose(2, 0, 1))


@pytest.mark.parametrize("end", ["jpg", "webp", "gif", "tiff", "ppm"])
def test_formats_are_known_by_content(tmp_path: Path, end: str) -> None:
    Image.fromarray(pixels(8, 8, 3)).save(tmp_path / f"a.{end}")
    with Image.open(tmp_path / f"a.{end}") as image:
        decoded = np.asarray(image.convert("RGB"))
    (tmp_path / f"a.{end}").rename(tmp_path / "a.txt")
    assert np.array_equal(opened(tmp_path)().inputs[0], decoded.transpose(2, 0, 1))


def test_hidden_names_are_skipped(tmp_path: Path) -> None:
    save(tmp_path / "x" / "a.png", pixels(1, 1))
    (tmp_path / ".git").mkdir()
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "x" / ".DS_Store").touch()
    assert len(opened(tmp_path)()) == 1


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    first, second = pixels(2, 2), pixels(2, 2)
    for name, end in (("one", "png"), ("two", "bmp")):
        save(tmp_path / name / "cat" / f"a.{end}", first)
        save(tmp_path / name / "dog" / f"a.{end}", second)
    digest = opened(tmp_path / "one")().sha256
    assert opened(tmp_path / "two")().sha256 == digest
    arrays = np.stack([first, second])[:, np.newaxis]
    assert Dataset.from_arrays(arrays, np.arange(2)).sha256 == digest


class TestSize:
    def test_different_sizes_need_one(self, tmp_path: Path) -> None:
        save(tmp_path / "a.png", pixels(2, 3))
        save(tmp_path / "b.png", pixels(2, 3))
        save(tmp_path / "c.png", pixels(3, 2))
        refused(opened(tmp_path), tmp_path / "a.png", tmp_path / "c.png", "3 x 2", "--size 2,3")
        dataset = opened(tmp_path, (2, 3))()
        assert dataset.inputs.shape == (3, 1, 2, 3)
        assert dataset.note == "images resized to 2 x 3 (bilinear, antialiased): 1"

    def test_images_of_that_size_are_untouched(self, tmp_path: Path) -> None:
        array = save(tmp_path / "a.png", pixels(5, 4))
        dataset = opened(tmp_path, (5, 4))()
        assert dataset.note == ""
        assert np.array_equal(dataset.inputs[0, 0], array)

    def test_halving_averages_with_a_triangle(self, tmp_path: Path) -> None:
        """Antialiased: weights 1 3 3 1 inside, 3.. at an edge; not every second pixel."""
        row = np.array([[0, 0, 0, 0, 255, 255, 255, 255]], np.uint8)
        save(tmp_path / "a.png", row)
        found = opened(tmp_path, (1, 4))().inputs[0, 0].tolist()
        assert found == [[0, round(255 / 8), round(255 * 7 / 8), 255]]

    def test_the_note_joins_classes_and_resizing(self, tmp_path: Path) -> None:
        save(tmp_path / "x" / "a.png", pixels(2, 2))
        assert opened(tmp_path, (1, 1))().note == (
            "classes are the subfolders: 0 = x; images resized to 1 x 1 (bilinear, antialiased): 1"
        )


def png(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and holds nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(b""), b"IEND")
    framed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


class TestRefused:
    def test_no_images(self, tmp_path: Path) -> None:
        refused(opened(tmp_path), tmp_path, "holds no images")
        (tmp_path / ".hidden").touch()
        refused(opened(tmp_path), tmp_path, "holds no images")
        save(tmp_path / "x" / "a.png", pixels(1, 1))
        (tmp_path / "y").mkdir()
        refused(opened(tmp_path), tmp_path / "y", "holds no images")

    def test_images_beside_subfolders(self, tmp_path: Path) -> None:
        save(tmp_path / "x" / "a.png", pixels(1, 1))
        save(tmp_path / "b.png", pixels(1, 1))
        refused(opened(tmp_path), tmp_path / "b.png", "beside subfolders")

    def test_folders_in_classes_and_loops(self, tmp_path: Path) -> None:
        save(tmp_path / "x" / "a.png", pixels(1, 1))
        (tmp_path / "x" / "loop").symlink_to(tmp_path)
        refused(opened(tmp_path), tmp_path / "x" / "loop", "a folder inside a class")

    def test_links(self, tmp_path: Path) -> None:
        save(tmp_path / "away" / "a.png", pixels(1, 1))
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "x").symlink_to(tmp_path / "away")
        assert len(opened(tmp_path / "set")()) == 1
        (tmp_path / "flat").mkdir()
        for target in ("self.png", "none.png"):
            link = tmp_path / "flat" / "self.png"
            link.symlink_to(tmp_path / "flat" / target)
            refused(opened(tmp_path / "flat"), link, "no regular file")
            link.unlink()

    def test_a_pipe_is_not_opened(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.png")
        refused(opened(tmp_path), tmp_path / "a.png", "no regular file")

    @pytest.mark.parametrize(
        "content", [b"", b"text", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n"]
    )
    def test_other_files(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.png").write_bytes(content)
        refused(opened(tmp_path), tmp_path / "a.png", "no image of PNG, JPEG")

    def test_formats_that_start_a_program(self, tmp_path: Path) -> None:
        Image.fromarray(pixels(4, 4)).save(tmp_path / "a.eps")
        refused(opened(tmp_path), tmp_path / "a.eps", "no image of PNG, JPEG")

    @pytest.mark.parametrize("end", ["png", "jpg", "bmp", "gif", "tiff", "webp", "ppm"])
    def test_truncated_files(self, tmp_path: Path, end: str) -> None:
        path = tmp_path / f"a.{end}"
        Image.fromarray(pixels(40, 40, 3)).save(path)
        content = path.read_bytes()
        for part in (0.02, 0.3, 0.7, 0.95):
            path.write_bytes(content[: int(len(content) * part)])
            refused(opened(tmp_path), path)

    def test_damage_is_one_line_or_other_pixels(self, tmp_path: Path) -> None:
        for end in ("png", "jpg", "gif", "tiff", "webp", "bmp"):
            path = tmp_path / f"a.{end}"
            Image.fromarray(pixels(12, 12, 3)).save(path)
            content = path.read_bytes()
            for position in NOISE.integers(0, len(content), 60):
                damaged = bytearray(content)
                damaged[position] ^= 1 << int(NOISE.integers(8))
                path.write_bytes(damaged)
                try:
                    assert load_folder(tmp_path, (2, 2)).inputs.dtype == np.uint8
                except Exception:
                    refused(opened(tmp_path, (2, 2)), path)
            path.unlink()

    @pytest.mark.parametrize("side", [12_000, 60_000])
    def test_bombs(self, tmp_path: Path, side: int) -> None:
        (tmp_path / "a.png").write_bytes(png(side, side))
        refused(opened(tmp_path, (2, 2)), tmp_path / "a.png", "too large")

    def test_more_than_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise MemoryError

        save(tmp_path / "a.png", pixels(1, 1, 3))
        monkeypatch.setattr(np, "empty", full)
        refused(opened(tmp_path), tmp_path, "1 images of 1 x 1", "memory", "--size")

    def test_sixteen_bits(self, tmp_path: Path) -> None:
        save(tmp_path / "a.png", NOISE.integers(0, 1 << 16, (2, 2)).astype(np.uint16))
        refused(opened(tmp_path), tmp_path / "a.png", "more than 8 bits")
        colour = b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
        chunks = (colour, b"IDAT" + zlib.compress(bytes(7)), b"IEND")
        framed = (
            struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
        )
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(framed))
        refused(opened(tmp_path), tmp_path / "a.png", "more than 8 bits")

    def test_several_frames(self, tmp_path: Path) -> None:
        frames = [Image.fromarray(pixels(4, 4)) for _ in range(3)]
        for end in ("gif", "tiff", "webp", "png"):
            frames[0].save(tmp_path / f"a.{end}", save_all=True, append_images=frames[1:])
            refused(opened(tmp_path), tmp_path / f"a.{end}", "3 frames")
            (tmp_path / f"a.{end}").unlink()
