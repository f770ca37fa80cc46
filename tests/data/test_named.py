"""Data sets known by name: rows, splits, where files are found, what is asked for without them."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from errbound.data import DATASETS, DataSpec, open_dataset

from ..shared import shared
from .making import DIGITS, GREY, IMAGES, LABELS, RECORDS, idx, mnist_folder, npz, refused

EVERY_SPLIT = [(row, split) for row in DATASETS.values() for split in row.splits]
TRAIN = tuple(name.replace("t10k", "train") for name in (IMAGES, LABELS))
BATCHES = [f"data_batch_{i}" for i in range(1, 6)]


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERRBOUND_DATA", raising=False)


def cifar_train(folder: Path, *, without: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(BATCHES):
        if name != without:
            records = RECORDS.copy()
            records[:, 0] = index
            (folder / f"{name}.bin").write_bytes(records.tobytes())
    return folder


def test_the_rows() -> None:
    assert list(DATASETS) == ["mnist", "fashion-mnist", "cifar10"]
    digests = [split.sha256 for row, name in EVERY_SPLIT for split in [row.splits[name]]]
    sums = [m for row, n in EVERY_SPLIT for x in row.splits[n].layouts for m in x.files.values()]
    assert len({*digests}) == len(digests) == 6
    assert len({*sums}) == len(sums) == 8 + 12
    assert {len(s) for s in digests} == {64}
    assert {len(s) for s in sums} == {32}
    for name, row in DATASETS.items():
        assert row.name == name
        assert list(row.splits) == ["test", "train"]
        assert row.folders[-1] == "", "the given folder itself is the last resort"


@pytest.mark.parametrize(("row", "split"), EVERY_SPLIT, ids=lambda x: getattr(x, "name", x))
def test_without_files_each_is_listed_with_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: object, split: str
) -> None:
    known = row.splits[split]  # type: ignore[attr-defined]
    listed = [part for layout in known.layouts for pair in layout.files.items() for part in pair]
    opened = partial(open_dataset, row.name, split=split)  # type: ignore[attr-defined]
    parts = (*listed, f"{split} split", "--data-dir", "unpacked", ".gz")
    refused(lambda: opened(data_dir=tmp_path), tmp_path, *parts)
    if known.embedded is None:
        refused(opened, "not embedded", "ERRBOUND_DATA", *parts)
        monkeypatch.setenv("ERRBOUND_DATA", str(tmp_path / "none"))
        refused(opened, tmp_path / "none", "ERRBOUND_DATA", *listed)


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("split", ["valid", "Train", "x\ny"])
def test_unknown_splits(name: str, split: str) -> None:
    refused(lambda: open_dataset(name, split=split), name, repr(split), "test or train")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("by_variable", [False, True])
@pytest.mark.parametrize("child", [0, 1, 2])
def test_idx_files_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, by_variable: bool, child: int
) -> None:
    folder = tmp_path / DATASETS[name].folders[child]
    folder.mkdir(parents=True, exist_ok=True)
    for file, array in zip(TRAIN, (GREY, DIGITS), strict=True):
        (folder / file).write_bytes(idx(array))
    if by_variable:
        monkeypatch.setenv("ERRBOUND_DATA", str(tmp_path))
    place = None if by_variable else str(tmp_path)
    dataset = open_dataset(name, data_dir=place, split="train")
    assert (dataset.name, dataset.source) == (f"{name}-train", str(folder))
    assert dataset.inputs.tolist() == GREY[:, np.newaxis].tolist()
    assert dataset.note == f"the content is not that of the official {name} train split"


def test_a_folder_of_its_own_is_preferred(tmp_path: Path) -> None:
    """MNIST and Fashion-MNIST have the same file names."""
    (tmp_path / "fashion-mnist").mkdir()
    mnist_folder(tmp_path, idx(GREY), idx(DIGITS))
    mnist_folder(tmp_path / "fashion-mnist", idx(GREY[:2]), idx(DIGITS[:2]))
    assert len(open_dataset("mnist", data_dir=tmp_path)) == 3
    assert len(open_dataset("fashion-mnist", data_dir=tmp_path)) == 2


def test_the_variable_does_not_replace_what_is_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist_folder(tmp_path, idx(GREY), idx(DIGITS))
    monkeypatch.setenv("ERRBOUND_DATA", str(tmp_path))
    assert open_dataset("mnist").source == "embedded"
    assert open_dataset("mnist", split="test").name == "mnist"


def test_the_official_mnist_train_split() -> None:
    folder = shared("data", "mnist", f"{TRAIN[0]}.gz").parent
    dataset = open_dataset("mnist", data_dir=folder.parent, split="train")
    assert (dataset.name, dataset.note, len(dataset)) == ("mnist-train", "", 60_000)
    assert dataset.labels is not None
    assert dataset.labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_five_files_are_joined_in_their_order(tmp_path: Path) -> None:
    folder = cifar_train(tmp_path / "cifar-10-batches-bin")
    dataset = open_dataset("cifar10", data_dir=tmp_path, split="train")
    assert (dataset.name, dataset.source) == ("cifar10-train", str(folder))
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [i for i in range(5) for _ in RECORDS]
    assert dataset.inputs.tobytes() == RECORDS[:, 1:].tobytes() * 5
    assert "cifar10 train split" in dataset.note


@pytest.mark.parametrize("missing", BATCHES)
def test_a_part_of_a_split_is_not_enough(tmp_path: Path, missing: str) -> None:
    folder = cifar_train(tmp_path / "cifar10", without=missing)
    files = DATASETS["cifar10"].splits["train"].layouts[0].files

    def opened() -> object:
        return open_dataset("cifar10", data_dir=tmp_path, split="train")

    refused(opened, folder, "a part of the cifar10 train split is missing", files[f"{missing}.bin"])
    with pytest.raises(Exception) as caught:
        opened()
    assert sum(name in str(caught.value) for name in files) == 1, "only what is missing is listed"


def test_files_of_one_split_do_not_stand_for_another(tmp_path: Path) -> None:
    mnist_folder(tmp_path, idx(GREY), idx(DIGITS))
    refused(lambda: open_dataset("mnist", data_dir=tmp_path, split="train"), *TRAIN)


def test_what_does_not_apply_is_refused(tmp_path: Path) -> None:
    path = str(npz(tmp_path, x=GREY))
    for option, given in (("--split", {"split": "test"}), ("--size", {"size": (2, 2)})):
        refused(partial(open_dataset, path, **given), path, f"{option} does not apply to a file")
    refused(lambda: open_dataset("mnist", size=(2, 2)), "mnist", "--size does not apply")
    refused(lambda: open_dataset(str(tmp_path), split="test"), tmp_path, "--split does not apply")
    refused(lambda: open_dataset(str(tmp_path), data_dir=tmp_path), tmp_path, "--data-dir")


class TestSpec:
    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            (DataSpec("mnist"), "--data mnist"),
            (DataSpec("a b", size="1,2"), "--data 'a b' --size 1,2"),
            (DataSpec("cifar10", "~/d", "train"), "--data cifar10 --data-dir '~/d' --split train"),
        ],
    )
    def test_json_and_words(self, spec: DataSpec, words: str) -> None:
        assert DataSpec(**json.loads(json.dumps(asdict(spec)))) == spec
        assert str(spec) == words

    def test_it_opens_what_it_says(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        mnist_folder(tmp_path, idx(GREY), idx(DIGITS))
        assert len(DataSpec("mnist", "~").open()) == 3
        refused(DataSpec("mnist", split="x").open, "'x'")

    @pytest.mark.parametrize(
        "size", ["", "0", "-1", "1,", "1,2,3", "1.5", "a", "65536", "9" * 5000, "²", "٣"]
    )
    def test_sizes_that_are_none(self, size: str) -> None:
        refused(DataSpec("mnist", size=size).open, "--size", "H,W")


def opening(name: str, **given: object) -> Callable[[], object]:
    return partial(open_dataset, name, **given)  # type: ignore[arg-type]


def test_a_damaged_file_is_refused_with_the_official_checksums(tmp_path: Path) -> None:
    mnist_folder(tmp_path, idx(GREY)[:-1], idx(DIGITS))
    sums = DATASETS["fashion-mnist"].splits["test"].layouts[0].files
    refused(opening("fashion-mnist", data_dir=tmp_path), "truncated", *sums.values())
