"""A certificate is about the programs that torch runs: what once slipped through is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import errbound
from errbound import InputError
from errbound.arithmetic import TORCH_CPU
from errbound.data import Dataset
from errbound.number import BINARY16, E4M3
from errbound.program import trace
from errbound.session import Inputs, Session, Source
from errbound.verdict import pair_of

from .making import Function, linear, net, points


@pytest.mark.parametrize("archive", [False, True])
def test_outputs_of_two_models_are_compared_by_name(archive: bool) -> None:
    m32 = Function(lambda y: {"logits": y, "aux": -y}, net())
    m16 = Function(lambda y: {"aux": -y, "logits": y}, net())
    models = [trace(m, points(2)) if archive else m for m in (m32, m16)]
    run = errbound.certify(models[0], points(40), model16=models[1])
    assert run.verdicts["refuted"] == 0
    assert run.verdicts["proved"] > 30
    swapped = Function(lambda y: {"aux": y, "other": y}, net())
    with pytest.raises(InputError, match="'logits' has no counterpart in M16, whose outputs are"):
        errbound.certify(m32, points(4), model16=swapped)
    single = Function(lambda y: {"scores": y}, net())
    assert errbound.certify(net(), points(40), model16=single).verdicts["proved"] > 30


class Sums(nn.Module):
    """Two classes from a sum of 2^15 numbers."""

    def forward(self, x: Tensor) -> Tensor:
        total = x.sum(dim=1, keepdim=True)
        return torch.cat([total, -total], dim=1)


def test_a_long_sum_of_16_bits_is_refused_from_an_archive_too() -> None:
    x = torch.rand(2, 2**15) - 0.5
    said = "in 16 bits torch may split so long a sum"
    with pytest.raises(InputError, match=said):
        errbound.certify(Sums().eval(), x)
    with pytest.raises(InputError, match=said):
        errbound.certify(trace(Sums().eval(), x), x)
    assert errbound.certify(trace(Sums().eval(), x), x, "tf32").verdicts["proved"] == 2


def test_pad_values_are_numbers_of_the_emulated_format() -> None:
    padded = nn.Sequential(nn.ConstantPad1d((1, 1), 1.0625), nn.Linear(14, 4)).eval()
    assert errbound.certify(padded, points(4)).verdicts["proved"] == 4
    with pytest.raises(InputError, match=r"pads with 1\.0625, which is no number of float8_e4m3fn"):
        errbound.certify(padded, points(4), E4M3.name)


def test_softmax_is_of_classes() -> None:
    for model in (
        Function(lambda y: y[:, 0], net()),
        Function(lambda y: y.unflatten(1, (2, 2)), net()),
        Function(lambda y: y[:, :1], net()),
    ):
        with pytest.raises(InputError, match="softmax needs an output of two or more classes"):
            errbound.certify(model, points(4), on="softmax")
    with pytest.raises(InputError, match="choose 'output' or 'softmax'"):
        errbound.certify(net(), points(4), on="logits")


def test_model16_with_nan_or_other_storage_says_so() -> None:
    broken = net()
    with torch.no_grad():
        broken[0].weight[0, 0] = float("nan")
    with pytest.raises(InputError, match="holds NaN or infinity"):
        errbound.certify(net(), points(4), model16=broken)
    notes = pair_of(net(), (12,), BINARY16, model16=net().bfloat16()).notes
    assert "M16: the weights are stored in bfloat16 and were rounded to float16" in notes


class Fixed(nn.Module):
    """A program of one batch size."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows, self.inner = rows, net()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).view(self.rows, 4)  # type: ignore[no-any-return]


def exported(rows: int) -> torch.export.ExportedProgram:
    return torch.export.export(Fixed(rows), (points(rows),), strict=False)


def test_fixed_batches_must_be_the_same_and_have_no_shadow() -> None:
    assert errbound.certify(exported(4), points(8), model16=exported(4)).verdicts["refuted"] == 0
    with pytest.raises(InputError, match="M32 takes batches of 4 only, M16 of 8 only"):
        errbound.certify(exported(4), points(8), model16=exported(8))
    session = Session(
        Source(exported(4), "exported"),
        Inputs(Dataset.from_arrays(points(8).numpy())),
        BINARY16,
        TORCH_CPU,
    )
    with pytest.raises(InputError, match="a shadow is of one sample"):
        session.shadow(None, 1)


def test_what_torch_refuses_is_one_line() -> None:
    model = Function(lambda y: y.clamp(-1e5, 1e5), net())
    with pytest.raises(InputError, match=r"clamp at .*torch refuses it"):
        errbound.certify(model, points(4))


@pytest.mark.parametrize("how", ["mpmath", "arb"])
def test_shadows_and_explanations_claim_nothing_beyond_a_possible_overflow(
    how: str, tmp_path: Path
) -> None:
    layers = [linear([[512.0, 0.0], [0.0, 1.0]], [0.0, 0.0]) for _ in range(2)]
    model = nn.Sequential(*layers).eval()
    x = torch.tensor([[512.0, 1.0], [2.0**-9, 1.0], [float("nan"), 0.0]])
    session = Session(
        Source(model, "module"), Inputs(Dataset.from_arrays(x.numpy())), BINARY16, TORCH_CPU
    )
    run = session.run(tmp_path / "run")
    assert [s.overflow for s in run.samples] == ["certain", "proved absent", ""]
    first, second, third = (rows for _, rows in session.shadow(None, 3, 40, how))
    assert [row.m16_bound for row in first] == [float("inf")] * 2
    assert all(row.m32_bound < 1e9 for row in first)
    assert all(row.m16_error <= row.m16_bound for row in second)
    assert third == []


def test_softmax_of_huge_logits_has_a_shadow() -> None:
    model = Function(lambda y: torch.softmax(y * 1e20, 1), net())
    session = Session(
        Source(model, "module"), Inputs(Dataset.from_arrays(points(2).numpy())), BINARY16, TORCH_CPU
    )
    with pytest.raises(InputError, match="raise --digits"):
        session.shadow(None, 1, 30, "arb")
    for how in ("arb", "mpmath"):
        (_, rows), *_ = session.shadow(None, 1, 60, how)
        assert rows[-1].operator == "softmax"
        assert rows[-1].m32_error < 1e-6
