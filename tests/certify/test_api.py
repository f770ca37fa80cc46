"""The Python interface: nothing of the caller's is changed, arguments are checked, exports work."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import errbound
from errbound.data import Preprocess
from errbound.errors import InputError
from errbound.program import trace
from errbound.program.load import load_model

from .making import Function, dataset, net, points


class Normed(nn.Module):
    """Convolution, batch norm with running statistics, in-place relu, a buffer, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_mean = torch.randn(4)
        self.norm.running_var = torch.rand(4) + 0.5
        self.relu = nn.ReLU(inplace=True)
        self.register_buffer("scale", torch.tensor([1.1, 0.9, 1.3]))
        self.head = nn.Linear(4 * 6 * 6, 3)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.norm(self.conv(x))).flatten(1)) * self.scale


def state(module: Any) -> dict[str, Tensor]:
    tensors = module.state_dict if isinstance(module.state_dict, dict) else module.state_dict()
    constants = getattr(module, "constants", {})
    return {k: t for k, t in {**tensors, **constants}.items() if isinstance(t, Tensor)}


@pytest.mark.parametrize("format", ["float16", "bfloat16"])
@pytest.mark.parametrize("archive", [False, True])
def test_the_callers_model_is_bit_identical_afterwards(format: str, archive: bool) -> None:
    x = torch.randn(20, 1, 8, 8)
    module = Normed()
    model: Any = trace(module, x) if archive else module
    before = {k: (t.data_ptr(), t.clone(), t.requires_grad) for k, t in state(model).items()}
    code, kept = str(model.graph) if archive else repr(model), x.clone()
    run = errbound.certify(model, x, format)
    assert run.verdicts["proved"] > 0
    after = state(model)
    assert after.keys() == before.keys()
    for name, (pointer, value, grad) in before.items():
        assert after[name].data_ptr() == pointer
        assert after[name].numpy(force=True).tobytes() == value.numpy(force=True).tobytes(), name
        assert after[name].requires_grad == grad
    assert (str(model.graph) if archive else repr(model)) == code
    assert torch.equal(x, kept)
    assert not module.training
    assert all(p.dtype is torch.float32 for p in module.parameters())


def test_module_and_program_agree() -> None:
    x = torch.randn(20, 1, 8, 8)
    module = Normed()
    a, b = errbound.certify(module, x), errbound.certify(trace(module, x), x)
    assert a.samples == b.samples


def test_kinds_of_inputs() -> None:
    x = points(6)
    runs = [
        errbound.certify(net(), x),
        errbound.certify(net(), x.numpy()),
        errbound.certify(net(), x.double()),
        errbound.certify(net(), x.clone().requires_grad_()),
        errbound.certify(net(), x[:, None].expand(6, 2, 12)[:, 0]),
    ]
    assert all(r.samples == runs[0].samples for r in runs)
    assert "rounded from float64" in runs[2].summary["data"]["note"]
    bytes_ = torch.arange(24, dtype=torch.uint8).reshape(2, 12)
    by_hand = errbound.certify(net(), bytes_.float() / 255)
    assert errbound.certify(net(), bytes_).samples == by_hand.samples
    half = errbound.certify(net(), x.bfloat16())
    assert half.samples == errbound.certify(net(), x.bfloat16().float()).samples


def test_labels_and_windows() -> None:
    x, labels = points(6), torch.tensor([0, 1, 2, 3, 0, 1])
    run = errbound.certify(net(), x, labels=labels, offset=2, limit=3)
    assert [s.label for s in run.samples] == [2, 3, 0]
    assert [s.index for s in run.samples] == [2, 3, 4]
    assert errbound.certify(net(), x, labels=labels.numpy(), batch_size=4).summary["accuracy_m32"]
    with pytest.raises(InputError, match="brings its own labels"):
        errbound.certify(net(), dataset(3), labels=labels)
    with pytest.raises(InputError, match="labels"):
        errbound.certify(net(), x, labels=labels[:2])


def test_preprocessing_is_outside_the_program() -> None:
    x = points(6)
    run = errbound.certify(net(), x, preprocess=Preprocess((0.1307,), (0.3081,)))
    by_hand = errbound.certify(net(), (x - torch.tensor(0.1307)) / torch.tensor(0.3081))
    assert run.samples == by_hand.samples


def test_a_tuple_with_a_named_output() -> None:
    model = Function(lambda y: (y[:, :1], y), net())
    assert errbound.certify(model, points(4)).verdicts["no classes"] == 4
    run = errbound.certify(model, points(4), output="1")
    assert run.verdicts["no classes"] == 0
    assert run.summary["model"]["output"] == "1"
    assert run.samples == errbound.certify(net(), points(4)).samples


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "float8"}, "unknown format 'float8'; known: float16, bfloat16, float32"),
        ({"format": "float32"}, "float32 is the reference"),
        ({"arithmetic": "abacus"}, "unknown arithmetic 'abacus'; known: torch-cpu"),
        ({"batch_size": 0}, "batch size of 0"),
        ({"effort": "more"}, "effort='more': choose fast, normal, max"),
        ({"limit": 0}, "limit of 0"),
        ({"offset": 9}, "no sample at offset 9"),
        ({"inputs": torch.zeros(0, 12)}, "hold no samples"),
        ({"inputs": torch.zeros(3, 11)}, "cannot trace the model on an input of shape"),
        ({"inputs": torch.zeros(3, 12, dtype=torch.int64)}, "dtype int64"),
        ({"preprocess": Preprocess((0.0, 1.0), (1.0,))}, "2 values for samples"),
        ({"resume": True, "overwrite": True, "out": "x"}, "exclude each other"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        errbound.certify(net(), **{"inputs": points(3), **arguments})
    assert "\n" not in str(caught.value)


def test_a_program_of_another_shape() -> None:
    with pytest.raises(InputError, match=r"shape \(11,\), the model takes \(12,\)"):
        errbound.certify(trace(net(), points(2)), torch.zeros(3, 11))


def test_exported_archives_certify_alike_and_name_no_machine(tmp_path: Path) -> None:
    path, x = tmp_path / "model.pt", points(7)
    secret = x.clone()
    secret[0, 0] = 123456.789
    errbound.export(net(), secret, path)
    content = path.read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert str(Path(nn.__file__).parent).encode() not in content
    assert secret.numpy()[0, :1].tobytes() not in content
    loaded = load_model(path)
    assert errbound.certify(loaded.exported, x).samples == errbound.certify(net(), x).samples
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="cannot be written"):
        errbound.export(net(), x, tmp_path / "missing" / "model.pt")
    with pytest.raises(InputError, match="training mode"):
        errbound.export(net().train(), x, path)
    assert path.read_bytes() == content


def test_importing_is_light() -> None:
    """Neither ``import errbound`` nor the help imports torch."""
    code = (
        "import sys, errbound, errbound.cli; dir(errbound); errbound.__version__; "
        "errbound.cli.main(['certify', '--help']); "
        "print('torch' in sys.modules, 'numpy' in sys.modules, 'rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False False"


def test_public_names() -> None:
    for name in errbound.__all__:
        assert getattr(errbound, name) is not None
    assert set(errbound.__all__) <= set(dir(errbound))
    assert callable(errbound.certify)
    with pytest.raises(AttributeError, match="no attribute 'prove'"):
        errbound.prove  # type: ignore[attr-defined]  # noqa: B018
