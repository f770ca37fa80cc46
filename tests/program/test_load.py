"""Loading: what is recognised, what is refused and how, and that refused files run no code."""

import copy
import io
import json
import os
import pickle
import random
import shlex
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import hostile
import pytest
import torch
from safetensors.torch import save as safetensors_save
from torch import nn

from errbound.errors import InputError
from errbound.program._expression import is_guard, is_symbolic_size
from errbound.program.load import LoadedModel, load_arch, load_model

ROOT = Path(__file__).parents[2]
ARCHITECTURES = ROOT / "tests" / "architectures.py"
SHARED = Path(os.environ.get("ERRBOUND_SHARED", ROOT.parent / "shared"))

NET = """
from torch import nn
def build():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.ReLU())
def needs_argument(width):
    return nn.Linear(width, width)
def double():
    return nn.Linear(3, 2).double()
def number():
    return 3
constant = 3
"""


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.ReLU())


@pytest.fixture
def arch(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET)
    return f"{tmp_path}/net.py:build"


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file whose name says nothing about its content."""

    def write(content: object, name: str = "model.bin") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else hostile.saved(content))
        return path

    return write


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that hostile code creates; importing ``hostile_module`` creates it, too."""
    path = tmp_path / "marker"
    (tmp_path / "hostile_module.py").write_text(f"open({str(path)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    sys.modules.pop("hostile_module", None)


def refusal(path: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        load_model(path, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def run_command(message: str) -> None:
    """Run the Python code of the ``python -c`` command that a message ends in."""
    words = shlex.split(message[message.index("python -c") :])
    exec(words[2], {})


def same_weights(model: LoadedModel, expected: nn.Module) -> bool:
    assert model.module is not None
    pairs = zip(model.module.state_dict().items(), expected.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


# ---------------------------------------------------------------------------- hostile files


@pytest.mark.parametrize("route", hostile.ROUTES, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_hostile_file_runs_with_torch_and_is_refused_here(
    route: hostile.Route, stored: Callable[..., Path], marker: Path, capfd: pytest.CaptureFixture
) -> None:
    path = stored(route.build(marker))
    try:
        route.run(path)
    except Exception:  # what comes after the code ran does not matter
        pass
    assert marker.exists(), "the file is harmless: this test shows nothing"
    marker.unlink()
    sys.modules.pop("hostile_module", None)

    capfd.readouterr()
    message = refusal(path)
    assert not marker.exists()
    assert route.names in message
    assert capfd.readouterr() == ("", "")


def leaves(value: object, place: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """The places of all keys and all values without parts."""
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            if isinstance(value, dict):
                yield (*place, key, None)
            yield from leaves(value[key], (*place, key))
    else:
        yield place


def replaced(value: object, place: tuple[object, ...], code: str) -> object:
    result = copy.deepcopy(value)
    inner = result
    *way, last = place if place[-1] is not None else place[:-1]
    for key in way:
        inner = inner[key]  # type: ignore[index]
    if place[-1] is None:
        inner[code] = inner.pop(last)  # type: ignore[index, attr-defined]
    else:
        inner[last] = code  # type: ignore[index]
    return result


@pytest.mark.parametrize("member", [hostile.MODEL, hostile.WEIGHTS, hostile.CONSTANTS])
def test_code_in_place_of_any_value_or_key_never_runs(
    member: str, stored: Callable[..., Path], marker: Path
) -> None:
    members = hostile.unpacked(hostile.harmless())
    original = json.loads(members[member])
    accepted = set()
    for place in leaves(original):
        for code in (hostile.call(marker), f"x'+\"{hostile.call(marker)}\"+'"):
            content = json.dumps(replaced(original, place, code)).encode()
            path = stored(hostile.packed(members | {member: content}))
            try:
                model = load_model(path)
            except InputError:
                pass
            else:
                accepted.add(place[-1])
                assert model.exported is not None
                model.exported.module()(torch.randn(4, 4))
            assert not marker.exists(), place
    assert accepted <= {"stack_trace"}


UNPROVEN = {
    "torchbind object": lambda: hostile.packed(
        hostile.unpacked(hostile.harmless()) | {"data/constants/custom_obj_0": b""}
    ),
    "machine code": lambda: hostile.packed(
        hostile.unpacked(hostile.harmless()) | {"data/weights/model.so": b""}
    ),
    "key of an input": lambda: hostile.packed(
        hostile.unpacked(hostile.harmless())
        | {hostile.SAMPLES: hostile.saved(((torch.ones(4, 4),), {'a"+b': 1}))}
    ),
    "tensor beyond its payload": lambda: hostile.edited(
        hostile.WEIGHTS,
        lambda config: config["config"]["linear.bias"]["tensor_meta"].update(
            storage_offset={"as_int": 1}
        ),
    ),
    "empty payload": lambda: hostile.packed(
        hostile.unpacked(hostile.harmless()) | {"data/weights/weight_0": b""}
    ),
    "missing payload": lambda: hostile.packed(
        {k: v for k, v in hostile.unpacked(hostile.harmless()).items() if "weight_0" not in k}
    ),
    "unknown key": lambda: hostile.edited(hostile.MODEL, lambda program: program.update(x=1)),
    "deep nesting": lambda: hostile.packed(
        hostile.unpacked(hostile.harmless()) | {hostile.MODEL: b"[" * 100_000}
    ),
    "two programs": lambda: hostile.packed(
        hostile.unpacked(hostile.harmless()) | {"models/second.json": b"{}"}
    ),
    "no sample inputs": lambda: hostile.packed(
        {k: v for k, v in hostile.unpacked(hostile.harmless()).items() if k != hostile.SAMPLES}
    ),
}


@pytest.mark.parametrize("build", UNPROVEN.values(), ids=UNPROVEN)
def test_everything_else_in_an_archive_is_refused(
    build: Callable[[], bytes], stored: Callable[..., Path]
) -> None:
    assert "refused before torch reads it" in refusal(stored(build()))


SIZES = (
    "Symbol('s77', positive=True, integer=True)",
    "Mul(Integer(12), Max(Integer(1), TruncToInt(Mul(Float('1.5', precision=53), ToFloat(s27)))))",
    "Add(Integer(-3), FloorDiv(Symbol('u0', integer=True), Rational(1, 2)))",
    "Pow(Symbol('s0'), Integer(2))",
    "2*s39",
)
NO_SIZES = (
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
NO_GUARDS = (
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


def test_evaluated_strings() -> None:
    assert all(map(is_symbolic_size, SIZES))
    assert not any(map(is_symbolic_size, NO_SIZES + GUARDS))
    assert all(map(is_guard, GUARDS))
    assert not any(map(is_guard, NO_GUARDS + SIZES[:1] + NO_SIZES))


# ----------------------------------------------------------------------------------- damage


def test_flipped_bit_of_a_weight_is_found(stored: Callable[..., Path]) -> None:
    archive = bytearray(hostile.harmless())
    weight = hostile.unpacked(archive)["data/weights/weight_0"]
    archive[archive.index(weight) + 2] ^= 1
    path = stored(bytes(archive), "model.pt2")
    bias = torch.export.load(path).state_dict["linear.weight"]
    assert not torch.equal(bias, torch.export.load(io.BytesIO(hostile.harmless())).state_dict["linear.weight"])
    assert "weight_0' is damaged (its checksum does not match)" in refusal(path)


@pytest.mark.parametrize("old", [False, True])
def test_flipped_bit_of_a_checkpoint(old: bool, stored: Callable[..., Path], arch: str) -> None:
    weights = net().state_dict()
    content = bytearray(hostile.saved(weights, _use_new_zipfile_serialization=not old))
    bits = weights["0.weight"].numpy().tobytes()
    content[content.index(bits) + 2] ^= 1
    path = stored(bytes(content))
    if old:  # that format has no checksums
        assert not same_weights(load_model(path, arch=arch), net())
    else:
        assert "is damaged" in refusal(path, arch=arch)


@pytest.mark.parametrize("part", [1, 3, 30, 500, -3000, -200, -22, -1])
def test_truncated_files(part: int, stored: Callable[..., Path], arch: str) -> None:
    weights = net().state_dict()
    contents = (
        hostile.harmless(),
        hostile.saved(weights),
        hostile.saved(weights, _use_new_zipfile_serialization=False),
        safetensors_save(weights),
    )
    for content in contents:
        if abs(part) < len(content):
            path = stored(content[: part % len(content)])
            message = refusal(path, arch=arch)
            assert message.startswith(str(path))


def test_random_damage_is_found_or_harmless(stored: Callable[..., Path]) -> None:
    intact = torch.export.load(io.BytesIO(hostile.harmless()))
    choose = random.Random(0)
    for _ in range(80):
        content = bytearray(hostile.harmless())
        content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)
        try:
            model = load_model(stored(bytes(content)))
        except InputError:
            continue
        assert model.exported is not None
        assert str(model.exported.graph) == str(intact.graph)
        pairs = zip(model.exported.state_dict.values(), intact.state_dict.values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_tricks(stored: Callable[..., Path]) -> None:
    members = hostile.unpacked(hostile.harmless())

    def with_members(**options: object) -> zipfile.ZipFile:
        archive = zipfile.ZipFile(io.BytesIO(hostile.packed(members)), "a", **options)  # type: ignore
        return archive

    def content(archive: zipfile.ZipFile) -> bytes:
        archive.close()
        assert isinstance(archive.fp, io.BytesIO | None)
        return buffer.getvalue()

    buffer = io.BytesIO(hostile.packed(members))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("archive/" + hostile.MODEL, b"{}")
    assert "is there twice" in refusal(stored(buffer.getvalue()))

    buffer = io.BytesIO(hostile.packed(members))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/weights/weight_9", bytes(10_000_000))
    assert "is compressed" in refusal(stored(buffer.getvalue()))

    before = hostile.packed(members)
    assert "not where the directory says" in refusal(stored(b"PK" + bytes(98) + before))
