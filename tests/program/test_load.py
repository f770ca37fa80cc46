"""Loading: each kind of file is recognised by its content and loaded, or answered in one line."""

import io
import os
import pickle
import tarfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save as safetensors_bytes
from torch import nn

from errbound.program.load import LoadedModel, load_arch, load_model

from ..shared import shared
from . import hostile
from .loading import refusal, run_command, stored

ROOT = Path(__file__).parents[2]
ARCHITECTURES = ROOT / "tests" / "architectures.py"

NET = """
import torch
from torch import nn
def build():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.ReLU())
def wider():
    return nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
def double():
    return build().double()
def needs_argument(width):
    return nn.Linear(width, width)
def shared():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    return net
def number():
    return 3
constant = 3
"""


class Net(nn.Sequential):
    """The module of ``NET``; importable, so that it can be pickled."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.ReLU())


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def arch(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET)
    return f"{tmp_path}/net.py:build"


def agree(model: LoadedModel, expected: nn.Module) -> bool:
    assert model.module is not None
    assert not any(module.training for module in model.module.modules())
    found, wanted = model.module.state_dict(), expected.state_dict()
    return list(found) == list(wanted) and all(torch.equal(found[k], wanted[k]) for k in wanted)


# -------------------------------------------------------------------------------- what is loaded


def test_archive_whatever_it_is_called(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = stored(tmp_path, hostile.harmless(), "model.onnx")
    model = load_model(path)
    assert model.kind == "exported"
    assert model.module is None
    assert model.exported is not None
    assert model.sha256 == sha256(hostile.harmless()).hexdigest()
    intact = torch.export.load(io.BytesIO(hostile.harmless()))
    assert torch.equal(hostile.run(model.exported), hostile.run(intact))
    assert capfd.readouterr().out == ""
    assert "leave --arch out" in refusal(path, arch="net.py:build")


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = stored(tmp_path, hostile.harmless())
    capfd.readouterr()
    load_model(path)
    assert capfd.readouterr() == ("", "")


WRAPPED = {
    "plain": (lambda w: w, []),
    "entry": (lambda w: {"state_dict": w}, ["weights taken from the entry 'state_dict'"]),
    "list": (lambda w: [w], ["the file holds a list of one entry: unwrapped"]),
    "entry with list": (
        lambda w: {"state_dict": [w]},
        ["weights taken from the entry 'state_dict' (a list of one)"],
    ),
    "prefix": (
        lambda w: {f"module.{key}": value for key, value in w.items()},
        ["prefix 'module.' (nn.DataParallel) removed from all names"],
    ),
    "checkpoint": (
        lambda w: {"model": w, "optimizer": {"state": {0: {"m": w["0.weight"]}}}, "epoch": 3},
        ["weights taken from the entry 'model'", "other entries left aside: optimizer, epoch"],
    ),
    "flat checkpoint": (lambda w: {**w, "epoch": 3}, ["other entries left aside: epoch"]),
}


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("form", WRAPPED)
def test_state_dict_forms(form: str, old: bool, tmp_path: Path, arch: str, net: Net) -> None:
    wrap, notes = WRAPPED[form]
    content = hostile.saved(wrap(net.state_dict()), _use_new_zipfile_serialization=not old)
    model = load_model(stored(tmp_path, content), arch=arch)
    assert model.kind == "state_dict"
    assert model.exported is None
    assert model.notes == tuple(notes)
    assert agree(model, net)


def test_safetensors(tmp_path: Path, arch: str, net: Net) -> None:
    content = safetensors_bytes(net.state_dict())
    assert agree(load_model(stored(tmp_path, content, "model.pt"), arch=arch), net)
    for end in (10, 200, len(content) - 1):
        assert "copy or download it again" in refusal(stored(tmp_path, content[:end]), arch=arch)


def test_weights_in_other_widths(tmp_path: Path, arch: str, net: Net) -> None:
    weights = net.state_dict()
    weights["0.weight"] = weights["0.weight"].double() + 1e-12
    weights["0.bias"] = weights["0.bias"].bfloat16()
    model = load_model(stored(tmp_path, weights), arch=arch)
    assert model.module is not None
    found = model.module.state_dict()
    assert torch.equal(found["0.weight"], weights["0.weight"].float())
    assert torch.equal(found["0.bias"], weights["0.bias"].float())
    assert model.notes == (
        "1 of 6 tensors were stored in binary64: rounded to binary32",
        "1 of 6 tensors are stored in 16 bits (bfloat16): kept, so rounding weights to it changes "
        "nothing",
    )


def test_batch_norm_counter_may_be_missing(tmp_path: Path, arch: str, net: Net) -> None:
    weights = net.state_dict()
    del weights["1.num_batches_tracked"]
    assert agree(load_model(stored(tmp_path, weights), arch=arch), net)


@pytest.mark.parametrize("torch_wrote_it", [True, False])
def test_pickled_module(torch_wrote_it: bool, tmp_path: Path, net: Net) -> None:
    content = hostile.saved(net) if torch_wrote_it else pickle.dumps(net)
    path = stored(tmp_path, content)
    message = refusal(path)
    assert f"({Net.__module__}.Net)" in message
    assert "add --trust-pickle" in message
    model = load_model(path, trust_pickle=True)
    assert model.kind == "pickle"
    assert agree(model, net)
    assert "leave --arch out" in refusal(path, arch="net.py:build", trust_pickle=True)


def test_checkpoint_with_other_objects(tmp_path: Path, arch: str, net: Net) -> None:
    path = stored(tmp_path, {"state_dict": net.state_dict(), "accuracy": np.float64(0.5)}, "c.pt")
    message = refusal(path, arch=arch)
    assert "(numpy._core.multiarray.scalar)" in message
    assert agree(load_model(path, arch=arch, trust_pickle=True), net)
    run_command(message)
    assert agree(load_model(tmp_path / "c.state.pt", arch=arch), net)


# ------------------------------------------------------------------------------ real files


REAL = {
    "mnist_fc_3layer.pth": ("mnist_fc_3layer", (1, 28, 28)),
    "mnist_cnn_small.pth": ("mnist_cnn_small", (1, 28, 28)),
    "kw_mnist.pth": ("kw_mnist", (1, 28, 28)),
    "mnist_a_adv.pth": ("kw_mnist", (1, 28, 28)),
    "mnist_6_100_nat.pth": ("mnist_6_100", (1, 28, 28)),
    "cifar_base.pth": ("cifar_base", (3, 32, 32)),
    "cifar_2c2f.pth": ("cifar_2c2f", (3, 32, 32)),
    "cifar_conv_small_sigmoid.pth": ("cifar_conv_small_sigmoid", (3, 32, 32)),
    "resnet20-12fca82f.th": ("resnet20", (3, 32, 32)),
}


def real(name: str) -> Path:
    return shared("models", name)


@pytest.mark.parametrize("name", REAL)
def test_published_weights(name: str) -> None:
    arch, shape = REAL[name]
    model = load_model(real(name), arch=f"{ARCHITECTURES}:{arch}")
    assert model.module is not None
    with torch.no_grad():
        output = model.module(torch.rand(2, *shape))
    assert output.shape == (2, 10)
    assert output.isfinite().all()


@pytest.mark.parametrize("name", ["mnist-net_256x2.onnx", "ibp_3_3_8.onnx"])
def test_published_onnx(name: str, tmp_path: Path) -> None:
    path = stored(tmp_path, real(name).read_bytes())
    assert "ONNX is not read yet: convert it with pip install onnx2torch && python -c" in refusal(
        path
    )


# ------------------------------------------------------------------------------ what is answered


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_answer_works(tmp_path: Path, arch: str, net: Net) -> None:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(net.eval(), torch.zeros(2, 3)), buffer)
    message = refusal(stored(tmp_path, buffer.getvalue(), "s.pt"))
    assert "TorchScript" in message
    run_command(message)
    assert agree(load_model(tmp_path / "s.state.pt", arch=arch), net)


def test_ambiguous_checkpoint_answer_works(tmp_path: Path, arch: str, net: Net) -> None:
    path = stored(tmp_path, {"model": net.state_dict(), "ema": net.state_dict()}, "c.pt")
    message = refusal(path, arch=arch)
    assert "several entries hold weights (model, ema)" in message
    run_command(message)
    assert agree(load_model(tmp_path / "c.weights.pt", arch=arch), net)


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pt"), io.BytesIO(b""))
    return buffer.getvalue()


OTHERS = {
    "empty": (b"", "the file is empty"),
    "text": (b"weights", "no model file that errbound knows"),
    "tar": (tar(), "a tar archive: unpack it with tar -xf"),
    "gzip": (b"\x1f\x8b\x08", "compressed with gzip"),
    "shared library": (b"\x7fELF\x02", "AOTInductor"),
    "AOTInductor": (hostile.packed({"data/aotinductor/model/a.so": b""}), "AOTInductor"),
    "npz": (hostile.packed({"x.npy": b""}, root=""), "a ZIP file without a model of PyTorch"),
    "tensor": (hostile.saved(torch.ones(2)), "holds Tensor, not weights"),
    "no weights": (hostile.saved({"epoch": 3}), "no entry holds weights (entries: epoch)"),
    "protocol 4": (hostile.saved({"a": 1}, pickle_protocol=4), "add --trust-pickle"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files(name: str, tmp_path: Path) -> None:
    content, answer = OTHERS[name]
    path = stored(tmp_path, content)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert answer in message


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    stored(tmp_path, b"", "net.pt")
    assert f"is a directory: give a file in it, such as {tmp_path}/net.pt" in refusal(tmp_path)
    assert "there is no such file" in refusal(tmp_path / "none.pt")
    assert "cannot be read" in refusal("nul\0.pt")
    assert "no regular file" in refusal(os.devnull)
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refusal(tmp_path / "pipe")


def test_too_large(tmp_path: Path) -> None:
    path = stored(tmp_path, b"")
    os.truncate(path, 9 << 30)
    assert "more than the 8 GiB" in refusal(path)


def test_state_dict_without_arch(tmp_path: Path, net: Net) -> None:
    message = refusal(stored(tmp_path, net.state_dict()))
    assert "(0.weight 2×3, 0.bias 2, 1.weight 2, 1.bias 2 and 3 more)" in message
    assert "add --arch file.py:callable" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_weights_must_be_finite_binary32(value: float, tmp_path: Path, arch: str, net: Net) -> None:
    weights = net.state_dict()
    weights["0.bias"] = torch.tensor([value, 0.0], dtype=torch.float64)
    message = refusal(stored(tmp_path, weights), arch=arch)
    assert "0.bias: 1 of 2 values are NaN or infinite" in message


def test_archive_with_nan(tmp_path: Path) -> None:
    nan = torch.full((12,), float("nan")).numpy().tobytes()
    members = hostile.unpacked(hostile.harmless()) | {"data/weights/weight_0": nan}
    message = refusal(stored(tmp_path, hostile.packed(members)))
    assert "linear.weight: 12 of 12 values are NaN or infinite" in message


def test_weights_that_do_not_fit(tmp_path: Path, arch: str, net: Net) -> None:
    weights = net.state_dict()
    weights["extra\nname"] = torch.ones(1)
    message = refusal(stored(tmp_path, weights), arch=arch.replace("build", "wider"))
    assert "the file lacks 2.weight, 2.bias" in message
    assert "the model lacks extra name" in message
    assert "shapes differ: 0.weight 2×3 in the file but 2×4 in the model" in message


def test_weights_that_the_module_does_not_keep(tmp_path: Path, arch: str, net: Net) -> None:
    weights = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).state_dict()
    message = refusal(stored(tmp_path, weights), arch=arch.replace("build", "shared"))
    assert "alters 0.weight (shared weights, or another dtype)" in message
    weights = net.state_dict()
    weights["0.bias"] = torch.tensor([2**24 + 1, 0])
    assert "alters 0.bias" in refusal(stored(tmp_path, weights), arch=arch)


def test_messages_do_not_carry_terminal_codes(tmp_path: Path, arch: str) -> None:
    message = refusal(stored(tmp_path, {"\x1b[2Jw": torch.ones(1)}), arch=arch)
    assert "?[2Jw" in message
    assert message.isprintable()


ARCHES = {
    "net.py": "give module:callable or file.py:callable",
    "{}/none.py:build": "there is no file",
    "no_such_module:build": "importing no_such_module fails (ModuleNotFoundError",
    "{}/net.py:other": "has no other; it defines build, wider, double",
    "{}/net.py:constant": "constant is int, not a callable",
    "{}/net.py:number": "returns int",
    "{}/net.py:needs_argument": "the call with no arguments fails (TypeError",
    "{}/net.py:double": "0.weight is torch.float64, not torch.float32",
    "{}/broken.py:build": "importing {}/broken.py fails (SystemExit: 3)",
}


@pytest.mark.parametrize("spec", ARCHES)
def test_architectures_that_do_not_work(spec: str, tmp_path: Path, arch: str, net: Net) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    path = stored(tmp_path, net.state_dict())
    message = refusal(path, arch=spec.replace("{}", str(tmp_path)))
    assert ARCHES[spec].replace("{}", str(tmp_path)) in message


def test_architectures_by_module_and_by_file(
    tmp_path: Path, arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside.py").write_text("from net import build")
    assert isinstance(load_arch(arch)(), nn.Sequential)
    assert isinstance(load_arch(f"{tmp_path}/beside.py:build")(), nn.Sequential)
    assert load_arch("torch.nn:Linear") is nn.Linear
    assert load_arch("torch:nn.Linear") is nn.Linear
    monkeypatch.chdir(tmp_path)
    (tmp_path / "local_net.py").write_text(NET)
    assert isinstance(load_arch("local_net:build")(), nn.Sequential)
