"""Programs whose frozen form would not be the module: each is refused in one line, not certified.

Every case here once led to a certificate for another program than the one that torch runs.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import errbound
from errbound import InputError


class WritesFromItsOwnView(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        a = x * 1
        a.add_(a[:, :1])
        return a


class WritesThroughOverlappingViews(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        a = x * 1
        v = a[:, 1:]
        v.add_(a[:, :-1])
        return v * 1


class AddsToItself(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        a = x * 1
        a += a
        return a


class MixesRows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.tensor([0.0, 1, 0, 0]).repeat(2, 1)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        return (self.c + x)[:, 0]


class FunctionOfWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.g = nn.Parameter((torch.randn(4, 2) * 4)[:, 0])

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.g)


class IntegerTimesScalar(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("i", torch.arange(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * (self.i * 0.37)


class EndsAtTheBatchSize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, x.shape[0] - 2 : x.shape[0]] * 1.5


class EvenKernel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 2, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(1)


def archive(module: nn.Module, *, dynamic: bool) -> torch.export.ExportedProgram:
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    return torch.export.export(
        module.eval(), (torch.randn(2, 4),), dynamic_shapes=shapes, strict=False
    )


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (WritesFromItsOwnView(), "in place through a view"),
        (WritesThroughOverlappingViews(), "in place through a view"),
        (FunctionOfWeights(), "weights computed from weights"),
    ],
)
def test_a_module_is_refused(module: nn.Module, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        errbound.certify(module.eval(), torch.randn(3, 4))
    assert len(str(caught.value).splitlines()) == 1


def test_adding_a_tensor_to_itself_is_certified() -> None:
    x = torch.tensor([[1.0, 2.0, 4.0]])
    assert errbound.certify(AddsToItself().eval(), x).verdicts["proved"] == 1


def test_a_fixed_operand_of_higher_rank_must_not_shift_the_batch() -> None:
    with pytest.raises(InputError, match="one sample with another"):
        errbound.certify(archive(MixesRows(), dynamic=False), torch.randn(2, 4))


def test_an_archive_does_not_tell_how_integers_are_promoted() -> None:
    with pytest.raises(InputError, match="certify the module itself"):
        errbound.certify(archive(IntegerTimesScalar(), dynamic=True), torch.randn(3, 4))
    run = errbound.certify(IntegerTimesScalar().eval(), torch.randn(3, 4))
    assert run.summary["samples"] == 3


def test_a_size_that_decides_values_is_taken_from_the_whole_batch() -> None:
    run = errbound.certify(EndsAtTheBatchSize().eval(), torch.randn(7, 9), batch_size=4)
    assert run.summary["samples"] == 7


def test_uneven_padding_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="padding='same' with an even kernel"):
        errbound.certify(EvenKernel().eval(), torch.randn(2, 1, 4, 4))
