"""cifar-10-batches-py: what is read, and that no pickle runs code, however it is made."""

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errbound.data import open_dataset
from errbound.errors import InputError

from .making import RECORDS, refused

NAMES = [b"one.png", b"two.png", b"three.png", b"four.png"]
PIXELS, DIGITS = RECORDS[:, 1:], RECORDS[:, 0].tolist()


class Raw(bytes):
    """Opcodes that stand for themselves."""


def written(value: Any) -> bytes:
    """Opcodes of protocol 2 as Python 2 writes them: str is bytes."""
    match value:
        case Raw():
            return bytes(value)
        case bytes():
            short = len(value) < 256
            return (
                b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))
            ) + (value)
        case bool() | None:
            return {True: b"\x88", False: b"\x89", None: b"N"}[value]
        case int():
            return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)
        case list():
            return b"](" + b"".join(map(written, value)) + b"e"
        case tuple():
            return b"(" + b"".join(map(written, value)) + b"t"
        case dict():
            return b"}(" + b"".join(written(x) for pair in value.items() for x in pair) + b"u"
    raise TypeError(value)


def array(
    shape: Any = PIXELS.shape, dtype: bytes = b"u1", order: Any = False, content: Any = None
) -> Raw:
    """A NumPy array, as Python 2 pickles it."""
    kind = b"cnumpy\ndtype\n" + written((dtype, 0, 1)) + b"R"
    kind += written((3, b"|", None, None, None, -1, -1, 0)) + b"b"
    content = PIXELS.tobytes() if content is None else content
    made = b"cnumpy.core.multiarray\n_reconstruct\n"
    made += written((Raw(b"cnumpy\nndarray\n"), (0,), b"b")) + b"R"
    return Raw(made + written((1, shape, Raw(kind), order, content)) + b"b")


def batch(**changes: Any) -> bytes:
    """The pickle of a batch of four images, with changes."""
    fields = {"batch_label": b"testing batch 1 of 1", "labels": DIGITS, "data": array()}
    fields |= {"filenames": NAMES} | changes
    return b"\x80\x02" + written({k.encode(): v for k, v in fields.items()}) + b"."


def test_it_is_what_python_2_writes() -> None:
    loaded = pickle.loads(batch(), encoding="bytes")
    assert loaded[b"data"].dtype == np.uint8
    assert np.array_equal(loaded[b"data"], PIXELS)
    assert loaded[b"labels"] == DIGITS
    assert loaded[b"filenames"] == NAMES


@pytest.mark.parametrize("child", ["", "cifar-10-batches-py", "cifar10"])
def test_it_is_the_set_of_the_binary_layout(tmp_path: Path, child: str) -> None:
    folder = tmp_path / child
    folder.mkdir(exist_ok=True)
    (folder / "test_batch").write_bytes(batch())
    pickled = open_dataset("cifar10", data_dir=tmp_path)
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "test_batch.bin").write_bytes(RECORDS.tobytes())
    binary = open_dataset("cifar10", data_dir=tmp_path / "binary")
    assert pickled.sha256 == binary.sha256
    assert pickled.source == str(folder / "test_batch")


def test_five_batches(tmp_path: Path) -> None:
    for i in range(1, 6):
        (tmp_path / f"data_batch_{i}").write_bytes(batch(labels=[i] * 4))
    labels = open_dataset("cifar10", data_dir=tmp_path, split="train").labels
    assert labels is not None
    assert labels.tolist() == [i for i in range(1, 6) for _ in range(4)]


class Payload:
    """Runs a shell command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def opened(folder: Path, content: bytes) -> Callable[[], object]:
    (folder / "test_batch").write_bytes(content)
    return lambda: open_dataset("cifar10", data_dir=folder)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_command_is_run(tmp_path: Path, protocol: int) -> None:
    ran = tmp_path / "ran"
    content = pickle.dumps({b"data": Payload(ran), b"labels": []}, protocol)
    pickle.loads(content)
    assert ran.exists(), "the payload works where pickles are trusted"
    ran.unlink()
    act = opened(tmp_path, content)
    refused(act, "test_batch", "refused as a batch of cifar-10-batches-py")
    assert not ran.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        b"(S'touch {}'\nios\nsystem\n.",
        b"cos\nsystem\n(S'touch {}'\ntR.",
        b"cos\nsystem\n(S'touch {}'\nt\x81.",
        b"(cos\nsystem\nS'touch {}'\no.",
        b'c__builtin__\neval\n(S\'open("{}", "w")\'\ntR.',
        b'cbuiltins\nexec\n(S\'open("{}", "w")\'\ntR.',
        b"cnumpy.core.multiarray\n_reconstruct.__init__.__globals__\n.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"cnumpy.load\n\n.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"c_codecs\nencode\n(S'x'\ntR.",
        b"ccopyreg\n_reconstructor\n.",
        b"\x82\x01.",
        b"P1\n.",
        b"S'x'\nQ.",
    ],
)
def test_other_callables_are_refused(tmp_path: Path, pickled: bytes) -> None:
    ran = tmp_path / "ran"
    act = opened(tmp_path, pickled.replace(b"{}", str(ran).encode()))
    refused(act, "test_batch", "refused as a batch of cifar-10-batches-py")
    assert not ran.exists()


def test_the_callable_is_named(tmp_path: Path) -> None:
    act = opened(tmp_path, b"cos\nsystem\n(S'true'\ntR.")
    refused(act, "it asks for 'os.system', which could run code")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"data": array(shape=(2**30, 3072))}, f"{2**30} x 3072 bytes"),
        ({"data": array(shape=(2**30, 2**30))}, "has shape"),
        ({"data": array(shape=(5, 3072))}, "5 x 3072 bytes"),
        ({"data": array(shape=(0, 3072), content=b"")}, "has shape (0, 3072)"),
        ({"data": array(shape=(-4, 3072))}, "has shape (-4, 3072)"),
        ({"data": array(shape=(3072, 4))}, "has shape"),
        ({"data": array(shape=(4, 3, 32, 32))}, "no two dimensions"),
        ({"data": array(shape=[4, 3072])}, "no two dimensions"),
        ({"data": array(shape=(True, 3072))}, "no two dimensions"),
        ({"data": array(dtype=b"O8")}, "no array of unsigned bytes"),
        ({"data": array(dtype=b"i1")}, "no array of unsigned bytes"),
        ({"data": array(dtype=b"u2")}, "no array of unsigned bytes"),
        ({"data": array(order=True)}, "in C order"),
        ({"data": array(content=[1] * 4 * 3072)}, "in C order"),
        ({"data": PIXELS.tobytes()}, "no NumPy array"),
        ({"data": Raw(b"cnumpy\nndarray\n")}, "no NumPy array"),
        ({"data": Raw(b"cnumpy.core.multiarray\n_reconstruct\n)R")}, "no NumPy array"),
        ({"data": Raw(b"cnumpy\ndtype\n(U\x02u1tR")}, "no NumPy array"),
        ({"data": Raw(b"cnumpy\ndtype\n}b")}, "damaged"),
        ({"data": Raw(b"cnumpy\nndarray\n)R")}, "damaged"),
        ({"labels": DIGITS[:3]}, "list of 4"),
        ({"labels": tuple(DIGITS)}, "list of 4"),
        ({"labels": [3, 9, 0, 10]}, "label 3 is not an integer from 0 to 9"),
        ({"labels": [-1, 9, 0, 8]}, "label 0 is not an integer"),
        ({"labels": [3, True, 0, 8]}, "label 1 is not an integer"),
        ({"labels": [3, b"9", 0, 8]}, "label 1 is not an integer"),
        ({"filenames": Raw(b"r\xff\xff\xff\xff")}, "too much memory"),
        ({"filenames": Raw(b"p-5\n")}, "too much memory"),
        ({"filenames": Raw(b"](" + b"N" * (1 << 20) + b"e")}, "too much memory"),
        ({"filenames": Raw(b"\x8a\x01\x05")}, "LONG1"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, changes: dict[str, Any], part: str) -> None:
    refused(
        opened(tmp_path, batch(**changes)), "test_batch", part, "40351d587109b95175f43aff81a1287e"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"N.",
        b"]q\x01h\x01a.",
        b"\x80\x02}U\x04dataNs.",
        b"\x80\x05}.",
        batch() + b".",
        batch() + b"\n",
        b"(" * 100_000 + b"t" * 100_000 + b".",
        pickle.dumps({"data": PIXELS, "labels": DIGITS}, 2),
        RECORDS.tobytes(),
    ],
    ids=range(11),
)
def test_other_pickles_are_refused(tmp_path: Path, content: bytes) -> None:
    refused(opened(tmp_path, content), "refused as a batch of cifar-10-batches-py")


def test_damage_is_refused_or_changes_the_content(tmp_path: Path) -> None:
    """Cut or changed anywhere, it never raises anything else."""
    intact = batch()
    generator = np.random.default_rng(0)
    start = intact.index(PIXELS.tobytes())
    header = [*range(start), *range(start + PIXELS.size, len(intact))]
    for cut in generator.integers(0, len(intact), 40):
        refused(opened(tmp_path, intact[:cut]), "test_batch")
    refusals = 0
    for position in generator.choice(header, 400):
        damaged = bytearray(intact)
        damaged[position] ^= 1 << int(generator.integers(8))
        try:
            opened(tmp_path, bytes(damaged))()
        except InputError:
            refusals += 1
    assert refusals > 200
