"""Vetting: no code from an archive or a pickle runs, no damage goes unnoticed."""

import io
import json
import random
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from errbound.errors import InputError
from errbound.program._expression import is_guard, is_symbolic_size
from errbound.program.load import load_model

from . import hostile
from .loading import refusal, stored

pytestmark = pytest.mark.filterwarnings("ignore")  # stock torch warns while it loads


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that hostile code creates; importing ``hostile_module`` creates it, too."""
    path = tmp_path / "marker"
    (tmp_path / "hostile_module.py").write_text(f"open({str(path)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    sys.modules.pop("hostile_module", None)


# ---------------------------------------------------------------------------- hostile files


@pytest.mark.parametrize("route", hostile.ROUTES, ids=str)
def test_hostile_file_runs_with_torch_and_is_refused_here(
    route: hostile.Route, tmp_path: Path, marker: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = stored(tmp_path, route.build(marker))
    with suppress(Exception):  # what comes after the code ran does not matter
        route.run(path)
    assert marker.exists(), "this file runs no code: the test would show nothing"
    marker.unlink()
    sys.modules.pop("hostile_module", None)

    capfd.readouterr()
    message = refusal(path)
    assert not marker.exists()
    assert route.names in message
    assert capfd.readouterr() == ("", "")


Place = tuple[str | int, ...]


def places(value: object, place: Place = ()) -> Iterator[tuple[Place, bool, object]]:
    """Where the keys (``True``) and the single values (``False``) of a JSON value are; these."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*place, key), True, key
            yield from places(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*place, index))
    else:
        yield place, False, value


def replaced(written: bytes, place: Place, is_key: bool, code: str) -> bytes:
    """The JSON text with the code in place of one key or value."""
    value = inner = json.loads(written)
    for step in place[:-1]:
        inner = inner[step]
    if is_key:
        inner[code] = inner.pop(place[-1])
    else:
        inner[place[-1]] = code
    return json.dumps(value).encode()


@pytest.mark.parametrize("member", [hostile.MODEL, hostile.WEIGHTS, hostile.CONSTANTS])
def test_code_in_place_of_any_key_or_value_never_runs(
    member: str, tmp_path: Path, marker: Path
) -> None:
    members = hostile.unpacked(hostile.harmless())
    call = hostile.call(marker)
    seen = set()
    for place, is_key, text in places(json.loads(members[member])):
        kind = tuple(step for step in place if not isinstance(step, int))
        if (kind, is_key) in seen:
            continue  # one element of each list is enough
        seen.add((kind, is_key))
        quoting = (f"x'+\"{call}\"+'",) if isinstance(text, str) else ()
        for code in (call, *quoting):
            changed = replaced(members[member], place, is_key, code)
            path = stored(tmp_path, hostile.packed(members | {member: changed}))
            with suppress(InputError):
                exported = load_model(path).exported
                assert "metadata" in place
                assert exported is not None
                hostile.run(exported)
            assert not marker.exists(), place


def changed(**members: bytes | None) -> bytes:
    """The harmless archive with members replaced, added or (``None``) left out."""
    every = hostile.unpacked(hostile.harmless()) | members
    return hostile.packed({name: content for name, content in every.items() if content is not None})


def shifted_bias() -> bytes:
    """An archive with a tensor that ends beyond its payload."""

    def edit(config: hostile.Json) -> None:
        config["config"]["linear.bias"]["tensor_meta"]["storage_offset"] = {"as_int": 1}

    return hostile.edited(hostile.WEIGHTS, edit)


ODD = {
    "torchbind object": lambda: changed(**{"data/constants/custom_obj_0": b""}),
    "machine code": lambda: changed(**{"data/weights/model.so": b""}),
    "input's key": lambda: changed(**{hostile.SAMPLES: hostile.saved(((), {'a"+b': 1}))}),
    "no sample inputs": lambda: changed(**{hostile.SAMPLES: None}),
    "two programs": lambda: changed(**{"models/second.json": b"{}"}),
    "empty payload": lambda: changed(**{"data/weights/weight_0": b""}),
    "missing payload": lambda: changed(**{"data/weights/weight_0": None}),
    "deep nesting": lambda: changed(**{hostile.MODEL: b"[" * 100_000}),
    "big-endian": lambda: changed(byteorder=b"big"),
    "unknown key": lambda: hostile.edited(hostile.MODEL, lambda program: program.update(x=1)),
    "tensor beyond its payload": shifted_bias,
}


@pytest.mark.parametrize("build", ODD.values(), ids=ODD)
def test_anything_unusual_in_an_archive_is_refused(
    build: Callable[[], bytes], tmp_path: Path
) -> None:
    assert "refused before torch reads it" in refusal(stored(tmp_path, build()))


SIZES = (
    "Symbol('s77', positive=True, integer=True)",
    "Mul(Integer(12), Max(Integer(1), TruncToInt(Mul(Float('1.5', precision=53), ToFloat(s27)))))",
    "Add(Integer(-3), FloorDiv(Symbol('u0', integer=True), Rational(1, 2)))",
    "Pow(Symbol('s0'), Integer(2))",
    "2*s39",
)
NOT_SIZES = (
    "__import__('os')",
    "Symbol('__import__(1)')",
    "Add('open(1)', 2)",
    "Integer('open(1)')",
    "Symbol('s0').func",
    "Symbol('s0')('open(1)')",
    "(lambda: 1)()",
    "Pow(Integer(9), Pow(Integer(9), Integer(9)))",
    "9**9**9",
    "Symbol('s0', cls=1)",
    "s0[0]",
    "f'{1}'",
    "s0\n",
    "exec",
    "s0" + " + s0" * 5000,
)
GUARDS = (
    "L['x'].size()[0] > 5",
    "max((-3) + L['x'].size()[0], L['x'].size()[0] // 2) <= L['x'].size()[0]",
    "L['args'][0]['k'].size()[1] == 3 and not (L['scale'] == math.inf)",
)
NOT_GUARDS = (
    "L['x'].__class__",
    "L[open('x')]",
    "L['a\"b'].size()[0]",
    "torch.load('x')",
    "math.__class__",
    "L['x'].size()[0].real",
    "print(1)",
    "s0",
    "[1 for x in L]",
)


def test_strings_that_torch_evaluates() -> None:
    assert all(map(is_symbolic_size, SIZES))
    assert not any(map(is_symbolic_size, NOT_SIZES + GUARDS))
    assert all(map(is_guard, GUARDS))
    assert not any(map(is_guard, NOT_GUARDS + NOT_SIZES + SIZES[:1]))


# ----------------------------------------------------------------------------------- damage


def stock(path: Path) -> torch.Tensor:
    return torch.export.load(path).state_dict["linear.weight"].detach()


def test_flipped_bit_of_a_weight_is_found(tmp_path: Path) -> None:
    content = bytearray(hostile.harmless())
    content[content.index(hostile.unpacked(bytes(content))["data/weights/weight_0"]) + 2] ^= 1
    intact = stored(tmp_path, hostile.harmless(), "intact.pt2")
    damaged = stored(tmp_path, bytes(content), "damaged.pt2")
    assert not torch.equal(stock(damaged), stock(intact)), "torch notices: this shows nothing"
    assert "weight_0' is damaged (its checksum does not match)" in refusal(damaged)


@pytest.mark.parametrize("end", [2, 3, 30, 500, -3000, -200, -22, -1])
def test_truncated_archive(end: int, tmp_path: Path) -> None:
    path = stored(tmp_path, hostile.harmless()[:end])
    assert "copy or download" in refusal(path)


def test_random_damage_is_found_or_without_effect(tmp_path: Path) -> None:
    intact = torch.export.load(io.BytesIO(hostile.harmless()))
    choose = random.Random(0)
    for _ in range(60):
        content = bytearray(hostile.harmless())
        content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)
        with suppress(InputError):
            exported = load_model(stored(tmp_path, bytes(content))).exported
            assert exported is not None
            assert str(exported.graph) == str(intact.graph)
            pairs = zip(exported.state_dict.values(), intact.state_dict.values(), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)


def appended(name: str, content: bytes, method: int) -> bytes:
    buffer = io.BytesIO(hostile.harmless())
    with zipfile.ZipFile(buffer, "a", method) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def overlapping() -> bytes:
    """A ZIP file whose second member is the first one's bytes under another name."""
    members = hostile.packed({"archive_format": b"pt2", "archive_versi0n": b"pt2"})
    start = members.rindex(b"PK\1\2")  # its entry in the directory: 42 is the header's offset
    return members[: start + 42] + struct.pack("<I", 0) + members[start + 46 :]


TRICKS = {
    "is there twice": lambda: appended("archive/" + hostile.MODEL, b"{}", zipfile.ZIP_STORED),
    "is compressed": lambda: appended("archive/x", bytes(10**7), zipfile.ZIP_DEFLATED),
    "is not where the directory says": lambda: b"PK" + bytes(98) + hostile.harmless(),
    "directory says": overlapping,
}


@pytest.mark.parametrize("message", TRICKS)
def test_zip_tricks(message: str, tmp_path: Path) -> None:
    assert message in refusal(stored(tmp_path, TRICKS[message]()))
