"""Frozen programs: what is refused on the way in, dtypes, digests."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errbound.analysis import execute
from errbound.errors import InputError
from errbound.number import BFLOAT16, BINARY16, BINARY32
from errbound.program import Node, Program, Ref, freeze, program_of, trace
from tests.helpers import identical

from .zoo import IMAGE, ROW, Does, build, frozen, inputs

HALVES = [BINARY16, BFLOAT16]


def does(function: Any, **buffers: Tensor) -> nn.Module:
    return Does(function, **buffers).eval()


def message_of(module: nn.Module, *example: Any, **options: Any) -> str:
    """The one line with which an exported program is refused."""
    with torch.no_grad():
        exported = torch.export.export(module, example, strict=False, **options)
    with pytest.raises(InputError) as caught:
        freeze(exported)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is refused -----------------------------------------------------------------------------


class Unknown(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(12, 12), nn.GELU())
        self.outer = nn.Softplus()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.erf(self.inner(x))
        return self.outer(y) + torch.erf(y)


def test_all_unknown_operators_are_listed_with_their_places() -> None:
    with pytest.raises(InputError) as caught:
        program_of(Unknown().eval(), inputs(ROW, 2), torch.float32)
    message = str(caught.value)
    assert "\n" not in message
    lines = Path(__file__).read_text().splitlines()
    here = {
        "aten.erf.default": 1 + next(i for i, t in enumerate(lines) if "y = torch.erf(" in t),
        "aten.softplus.default": 1 + next(i for i, t in enumerate(lines) if "self.outer(y) +" in t),
    }
    for target, line in here.items():
        assert re.search(rf"{target} \([^;]*test_graph\.py:{line}\)", message), message
    assert re.search(r"aten\.gelu\.default \(inner\.1, [^;]*\)", message), message
    assert re.search(r"aten\.softplus\.default \(outer, ", message), message
    assert message.count("aten.erf.default") == 1
    assert "linear" not in message


def test_a_module_in_training_mode_is_refused() -> None:
    module = nn.Sequential(nn.Linear(12, 3), nn.Dropout(0.5))
    for wrong in (module.train(), nn.Sequential(nn.Linear(12, 3), nn.ReLU().eval()).eval()):
        wrong[0].train()
        with pytest.raises(InputError, match=r"training mode; call model\.eval\(\)"):
            program_of(wrong, inputs(ROW, 2), torch.float32)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Dropout(0.5), "dropout"),
        (nn.Dropout2d(0.5), "dropout"),
        (nn.AlphaDropout(0.5), "dropout"),
        (nn.BatchNorm2d(3), "batch"),
        (nn.BatchNorm2d(3, track_running_stats=False).eval(), "batch"),
    ],
)
def test_archives_exported_in_training_mode_are_refused(layer: nn.Module, words: str) -> None:
    message = message_of(nn.Sequential(nn.Conv2d(3, 3, 1), layer), inputs(IMAGE, 4))
    assert words in message
    assert "training mode" in message


def test_an_archive_that_updates_a_buffer_is_refused() -> None:
    def counts(m: Any, x: Tensor) -> Tensor:
        m.calls.add_(1)
        return x * 2

    message = message_of(does(counts, calls=torch.zeros(1)), inputs(ROW, 4))
    assert "calls" in message


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Optional(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        return x * n


def test_the_input_must_be_one_floating_point_tensor() -> None:
    x = inputs(ROW, 4)
    assert "exactly one tensor" in message_of(Two(), x, x)
    assert "exactly one tensor" in message_of(Optional(), x, 3)
    whole = torch.randint(0, 9, (4, 12))
    assert "not a floating-point tensor" in message_of(does(lambda m, x: x * 0.5), whole)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.permute(1, 0, 2),
        lambda x: x.transpose(0, 1).transpose(0, 1),
        lambda x: x.transpose(-3, 2),
        lambda x: x.reshape(-1, 4).reshape(-1, 3, 4),
        lambda x: x.view(-1, 4),
        lambda x: x.flatten(0, 1),
        lambda x: x.flatten(),
        lambda x: x[0],
        lambda x: x[1:],
        lambda x: x.unsqueeze(0),
        lambda x: torch.cat([x, x]),
        lambda x: x.chunk(3, 0)[1],
        lambda x: F.pad(x, (0, 0, 0, 0, 1, -1)),
    ],
)
@pytest.mark.parametrize("static", [False, True])
def test_operators_that_move_the_batch_are_refused(function: Any, static: bool) -> None:
    module, x = does(lambda m, x: function(x)), inputs((3, 4), 3)
    options = {} if static else {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1)},)}
    try:
        message = message_of(module, x, **options)
    except RuntimeError as error:  # torch itself refuses
        message = str(error)
    assert "batch" in message


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x[:, :, 0] + x[:, 0, 0],  # the batch of one meets another dimension
        lambda m, x: F.linear(x.flatten(1), x.flatten(1)),
        lambda m, x: m.layers[0](x),  # (N, C, H) taken for (C, H, W)
    ],
)
def test_operators_that_mix_samples_are_refused(function: Any) -> None:
    module = Does(function, nn.Conv2d(3, 3, 1)).eval()
    message = message_of(module, inputs((3, 4), 3))
    assert re.search("one sample with another|depend on the input|dimensions", message)


def test_a_value_that_depends_on_the_batch_size_is_refused() -> None:
    for function in (lambda x: x * x.shape[0], lambda x: x[:, : x.shape[0]] * 2):
        exported = trace(does(lambda m, x, f=function: f(x)), inputs((3, 70), 64))
        if exported.range_constraints:
            with pytest.raises(InputError, match="depends on the batch size"):
                freeze(exported)
        else:  # torch fixed the batch size, and so the value
            assert freeze(exported).batch == 64


def test_what_torch_cannot_trace_is_one_line() -> None:
    def branches(m: Any, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x

    with pytest.raises(InputError, match=r"torch\.export cannot trace") as caught:
        program_of(does(branches), inputs(ROW, 2), torch.float32)
    assert "\n" not in str(caught.value)


# --- dtypes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", HALVES, ids=lambda f: f.name)
def test_constants_made_in_forward_follow_the_module_not_the_archive(fmt: Any) -> None:
    """``Module.half()`` leaves them in binary32, and type promotion is part of the program."""
    module = does(lambda m, x: x * torch.tensor([0.3081]))
    program = program_of(module, inputs(ROW, 2), fmt.dtype)
    x = inputs(ROW, 3).to(fmt.dtype)
    with torch.inference_mode():
        want = copy.deepcopy(module).to(fmt.dtype)(x)
    assert want.dtype is torch.float32
    assert identical(execute(program, x), want)
    archive = frozen("lifted", torch.float32)
    assert archive.lifted
    with pytest.raises(InputError, match="archive does not tell how the constant") as caught:
        archive.cast(fmt)
    assert "\n" not in str(caught.value)


def test_literal_dtypes_follow_the_module_not_the_archive() -> None:
    program = frozen("cast", torch.float32)
    with pytest.raises(InputError, match=r"the dtype at .*zoo\.py:\d+ is converted") as caught:
        program.cast(BINARY16)
    assert "\n" not in str(caught.value)


def test_integer_buffers_stay_integers() -> None:
    module = does(lambda m, x: x * m.k + m.b, k=torch.arange(12), b=torch.full((12,), 0.1))
    program = program_of(module, inputs(ROW, 2), torch.float32).cast(BINARY16)
    kinds = {t.dtype for t in program.constants.values()}
    assert kinds == {torch.int64, torch.float16}
    assert {n.dtype for n in program.nodes} == {torch.float16}
    assert program.input_dtype is torch.float16


@pytest.mark.parametrize("fmt", HALVES, ids=lambda f: f.name)
def test_python_scalars_round_by_operator(fmt: Any) -> None:
    """x - c rounds c to 16 bits first; x / c and x * c use it in binary32."""
    c = 0.3081
    short, single = (torch.tensor(c).to(d).double() for d in (fmt.dtype, torch.float32))
    x = torch.linspace(-3, 3, 12 * 64).reshape(64, 12).to(fmt.dtype)
    wide = x.double()
    for function, kept, other in (
        (lambda m, x: x - c, wide - short, wide - single),
        (lambda m, x: x + c, wide + short, wide + single),
        (lambda m, x: c - x, short - wide, single - wide),
        (lambda m, x: x * c, wide * single, wide * short),
        (lambda m, x: x / c, wide / single, wide / short),
    ):
        program = program_of(does(function), inputs(ROW, 2), fmt.dtype)
        found = execute(program, x)
        assert torch.equal(found, kept.float().to(fmt.dtype))
        assert not torch.equal(found, other.float().to(fmt.dtype))


# --- the digest ----------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_graph_and_its_tensors() -> None:
    module, shape = build("convolutions")
    program = frozen("convolutions", torch.float32)
    again = freeze(trace(module, inputs(shape, 2)))
    assert program.digest == again.digest
    assert program.cast(BINARY32).digest == program.digest
    assert program.cast(BINARY16).digest != program.digest
    assert len(program.digest) == 64


def changed(program: Program, name: str, value: Tensor) -> Program:
    return replace(program, constants={**program.constants, name: value})


def test_every_weight_bit_changes_the_digest() -> None:
    program = frozen("perceptron", torch.float32)
    seen = {program.digest}
    for name, tensor in program.constants.items():
        flat = tensor.reshape(-1).view(torch.int32)
        for position in (0, flat.numel() - 1):
            for bit in (0, 15, 31):
                flipped = flat.clone()
                flipped[position] ^= torch.tensor(1 << bit).to(torch.int32)
                digest = changed(program, name, flipped.view(torch.float32).view_as(tensor)).digest
                assert digest not in seen
                seen.add(digest)
        seen.add(changed(program, name, tensor.double()).digest)
        if tensor.dim() == 2:
            seen.add(changed(program, name, tensor.reshape(tensor.shape[::-1])).digest)
    count = len(program.constants)
    assert len(seen) == 1 + 6 * count + count + count // 2


def test_every_argument_changes_the_digest() -> None:
    """Each argument, operator, keyword, dtype and the output, one at a time."""

    def with_node(index: int, **changes: Any) -> str:
        nodes = list(program.nodes)
        nodes[index] = replace(nodes[index], **changes)
        return replace(program, nodes=tuple(nodes)).digest

    def others(value: Any) -> list[Any]:
        if isinstance(value, bool):
            return [not value]
        if isinstance(value, int | float):
            return [value + 1, -value - 0.5]
        if isinstance(value, list):
            nested = [
                [*value[:i], w, *value[i + 1 :]] for i, v in enumerate(value) for w in others(v)
            ]
            return [[*value, 0], value[:-1], *nested]
        return [Ref("x"), None] if isinstance(value, Ref) else [1.5]

    program = frozen("convolutions", torch.float32)
    seen, count = {program.digest}, 1
    for index, node in enumerate(program.nodes):
        for position, value in enumerate(node.args):
            for other in others(value):
                if other != value:
                    args = (*node.args[:position], other, *node.args[position + 1 :])
                    seen.add(with_node(index, args=args))
                    count += 1
        seen.add(with_node(index, dtype=torch.bfloat16))
        seen.add(with_node(index, kwargs={"alpha": 3.0}))
        seen.add(with_node(index, op=replace(node.op, name="another")))
        count += 3
    for path in ("input_dtype", "input_shape", "output"):
        other = {"input_dtype": torch.float64, "input_shape": (9,), "output": Ref("relu")}[path]
        seen.add(replace(program, **{path: other}).digest)
        count += 1
    assert len(seen) == count


def test_zero_and_minus_zero_differ_in_arguments() -> None:
    a, b = (
        program_of(does(lambda m, x, c=c: x + c), inputs(ROW, 2), torch.float32).digest
        for c in (0.0, -0.0)
    )
    assert a != b


# --- the walk ------------------------------------------------------------------------------------


def test_values_are_dropped_after_their_last_use() -> None:
    """However deep the network: the input, an operand, a result."""
    layers = [nn.Linear(12, 12) for _ in range(30)]
    program = program_of(nn.Sequential(*layers).eval(), inputs(ROW, 2), torch.float32)

    class Value:
        alive = most = 0

        def __init__(self) -> None:
            Value.alive += 1
            Value.most = max(Value.most, Value.alive)

        def __del__(self) -> None:
            Value.alive -= 1

    def step(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
        return Value()

    program.evaluate(Value(), dict.fromkeys(program.constants), step)
    assert Value.most == 3
