"""From one model to M32 and M16: what is rounded, widened, refused and said."""

import copy

import pytest
import torch
from torch import nn

from errbound.errors import InputError
from errbound.number import BFLOAT16, BINARY16, BINARY32, Format
from errbound.program import trace
from errbound.verdict import pair_of

from .making import FEATURES, Function, linear, net, points

SHAPE = (FEATURES,)


def exported(module: nn.Module, dtype: torch.dtype = torch.float32) -> torch.export.ExportedProgram:
    return trace(module, points(2).to(dtype))


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16])
@pytest.mark.parametrize("stored", [torch.float32, torch.float64])
@pytest.mark.parametrize("archive", [False, True])
def test_weights_are_rounded_once_by_way_of_binary32(
    fmt: Format, stored: torch.dtype, archive: bool
) -> None:
    model = net().to(stored)
    if stored is torch.float64:
        with torch.no_grad():
            model[0].bias[0] = 1 + 2.0**-11 + 2.0**-40  # rounds up directly, to a tie and down
    pair = pair_of(exported(model, stored) if archive else model, SHAPE, fmt)
    single = [p.float() for p in model.parameters()]
    assert [t.dtype for t in pair.m32.constants.values()] == [torch.float32] * 4
    for got, want in zip(pair.m32.constants.values(), single, strict=True):
        assert torch.equal(got, want)
    for got, want in zip(pair.m16.constants.values(), single, strict=True):
        assert torch.equal(got, want.to(fmt.dtype))
    assert any("float64" in note for note in pair.notes) == (stored is torch.float64)
    assert not any("rounding is zero" in note for note in pair.notes)


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16])
@pytest.mark.parametrize("archive", [False, True])
def test_a_model_stored_in_16_bits_is_m16_exactly(fmt: Format, archive: bool) -> None:
    model = net().to(fmt.dtype)
    pair = pair_of(exported(model, fmt.dtype) if archive else model, SHAPE, fmt)
    for own, m16, m32 in zip(
        model.parameters(), pair.m16.constants.values(), pair.m32.constants.values(), strict=True
    ):
        assert torch.equal(m16, own)
        assert m32.dtype is torch.float32
        assert torch.equal(m32, own.float())
    assert any("weight rounding is zero" in note for note in pair.notes)
    assert any("exact widening" in note for note in pair.notes)


def test_the_caller_keeps_the_model_bit_for_bit() -> None:
    model = net().half()
    before = copy.deepcopy(model.state_dict())
    pointers = [p.data_ptr() for p in model.parameters()]
    pair = pair_of(model, SHAPE, BINARY16)
    pair.m16.constants["p_0_weight"].zero_()
    assert [p.data_ptr() for p in model.parameters()] == pointers
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(bad: float) -> None:
    model = net()
    with torch.no_grad():
        model[2].bias[1] = bad
    for given in (model, exported(model)):
        with pytest.raises(InputError, match=r"2_bias holds NaN or infinity"):
            pair_of(given, SHAPE, BINARY16)


def test_weights_that_overflow_are_named() -> None:
    model = linear([[1e6, 0.0], [0.0, 1.0]], [0.0, 0.0])
    assert any("weights overflow in float16" in n for n in pair_of(model, (2,), BINARY16).notes)
    assert not any("overflow" in n for n in pair_of(model, (2,), BFLOAT16).notes)


def test_mixed_dtypes() -> None:
    model = net()
    model[2].half()
    with pytest.raises(InputError, match="mixes float16, float32"):
        pair_of(model, SHAPE, BINARY16)


def test_the_reference_is_no_16_bit_format() -> None:
    with pytest.raises(InputError, match="float32 is the reference"):
        pair_of(net(), SHAPE, BINARY32)


def test_training_mode() -> None:
    with pytest.raises(InputError, match=r"training mode; call model\.eval\(\)"):
        pair_of(net().train(), SHAPE, BINARY16)


def test_a_model_that_cannot_be_copied() -> None:
    model = net()
    model.handle = (i for i in range(3))
    with pytest.raises(InputError, match="cannot be copied"):
        pair_of(model, SHAPE, BINARY16)


def test_outputs_of_a_dictionary() -> None:
    model = Function(lambda y: {"logits": y, "twice": y * 2}, net())
    first = pair_of(model, SHAPE, BINARY16)
    assert any("logits, twice the first, logits" in note for note in first.notes)
    second = pair_of(model, SHAPE, BINARY16, "twice")
    assert not second.notes
    assert second.m32.output == second.m32.outputs["twice"]
    assert second.m16.output == second.m16.outputs["twice"]
    with pytest.raises(InputError, match="no output 'thrice'; its outputs are: logits, twice"):
        pair_of(model, SHAPE, BINARY16, "thrice")
