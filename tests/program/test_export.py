"""Frozen programs execute bit for bit what the module does and leave the caller's objects alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errbound.analysis import execute
from errbound.errors import InputError
from errbound.number import BFLOAT16, BINARY16, BINARY32
from errbound.ops import OPS, Op
from errbound.program import Program, freeze, program_of, trace
from tests.helpers import identical, overload

from .zoo import IMAGE, ROW, ZOO, Does, build, frozen, inputs

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
names = pytest.mark.parametrize("name", ZOO)
TENSORS = [op for op in OPS if next(op.cases(torch.Generator(), torch.float16, 7), None)]


def run(module: nn.Module, x: Tensor) -> Any:
    """The module itself, a copy of it in the dtype of ``x``, on a copy of ``x``."""
    with torch.inference_mode():
        return copy.deepcopy(module).to(x.dtype)(x.clone())


def refused(module: nn.Module, shape: tuple[int, ...] = ROW) -> str:
    """The one line with which a module is refused."""
    with pytest.raises(InputError) as caught:
        program_of(module.eval(), inputs(shape, 2), torch.float32)
    message = str(caught.value)
    assert "\n" not in message
    return message


def does(function: Callable[[Any, Tensor], Any], **buffers: Tensor) -> nn.Module:
    return Does(function, **buffers)


@names
@dtypes
def test_a_program_executes_what_the_module_does(name: str, dtype: torch.dtype) -> None:
    module, shape = build(name)
    program = frozen(name, dtype)
    assert program.batch is None
    assert program.input_shape == shape
    assert program.input_dtype is dtype
    for batch in (1, 2, 7, 64):
        x = inputs(shape, batch).to(dtype)
        before = x.clone()
        assert identical(execute(program, x), run(module, x))
        assert identical(x, before)


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16], ids=lambda f: f.name)
@pytest.mark.parametrize("name", [n for n in ZOO if n not in ("cast", "lifted")])
def test_a_cast_program_executes_what_the_halved_module_does(name: str, fmt: Any) -> None:
    module, shape = build(name)
    program = frozen(name, torch.float32).cast(fmt)
    x = inputs(shape, 5).to(fmt.dtype)
    assert identical(execute(program, x), run(module, x))


@names
def test_an_archive_of_one_batch_size_executes_what_the_module_does(name: str) -> None:
    module, shape = build(name)
    x = inputs(shape, 3)
    with torch.no_grad():
        exported = torch.export.export(module, (x.clone(),), strict=False)
    program = freeze(exported)
    assert program.batch == 3
    assert identical(execute(program, x), run(module, x))


def accepting(op: Op, args: tuple[Any, ...]) -> Callable[..., Any]:
    """The first overload of a record that takes these arguments and writes to none of them."""
    for target in op.targets:
        if not target.split(".")[1].endswith("_"):
            try:
                overload(target)(*args)
            except RuntimeError:
                continue
            return overload(target)
    raise AssertionError(f"no overload of {op.name} takes its own case")


@pytest.mark.parametrize("op", TENSORS, ids=lambda op: op.name)
def test_a_program_of_every_record_executes_what_the_module_does(op: Op) -> None:
    """From the record's own cases: any new record is traced and executed."""
    done = 0
    for case in op.cases(torch.Generator().manual_seed(0), torch.float16, 7):
        x, *rest = case.args
        several = len(x) if isinstance(x, list) else 0
        x = x[0] if several else x
        if x.shape[0] < 2:
            continue
        function = accepting(op, case.args)
        held = {f"t{i}": t for i, t in enumerate(rest) if isinstance(t, Tensor)}
        plain = [None if isinstance(t, Tensor) else t for t in rest]

        def forward(m: Any, x: Tensor, f: Any = function, p: Any = plain, n: int = several) -> Any:
            return f([x] * n if n else x, *(getattr(m, f"t{i}", t) for i, t in enumerate(p)))

        module = does(forward, **held).eval()
        program = program_of(module, x, torch.float16)
        assert op.name in {n.op.name for n in program.nodes}
        outputs = run(module, x)
        outputs = outputs if isinstance(outputs, list | tuple) else (outputs,)
        for path, value in zip(program.outputs, outputs, strict=True):
            assert identical(execute(program.select(path), x), value)
        done += 1
    assert done


def test_a_batch_size_fixed_by_the_code_stays_fixed() -> None:
    rows = torch.arange(6.0).reshape(2, 3)
    module = does(lambda m, x: torch.cat([x, m.rows], dim=1), rows=rows)
    program = program_of(module.eval(), inputs(ROW, 2), torch.float32)
    assert program.batch == 2
    x = inputs(ROW, 2)
    assert identical(execute(program, x), run(module, x))


# --- the caller's objects ------------------------------------------------------------------------


@names
def test_module_and_archive_are_bit_identical_afterwards(name: str) -> None:
    module, shape = build(name)
    example = inputs(shape, 2)
    exported = trace(module, example)
    kept = [copy.deepcopy(module.state_dict()), copy.deepcopy(exported.state_dict), example.clone()]
    flags = [(p.requires_grad, p.dtype, p.data_ptr()) for p in module.parameters()]
    programs = [program_of(module, example, torch.float16), freeze(exported)]
    if name not in ("cast", "lifted"):
        programs.append(programs[1].cast(BINARY16))
    for program in programs:
        execute(program, inputs(shape, 2).to(program.input_dtype))
    after = [module.state_dict(), exported.state_dict]
    for before, now in zip(kept[:2], after, strict=True):
        assert list(before) == list(now)
        assert all(identical(before[k], now[k]) for k in before)
    assert identical(example, kept[2])
    assert flags == [(p.requires_grad, p.dtype, p.data_ptr()) for p in module.parameters()]
    own = {t.untyped_storage().data_ptr() for p in programs for t in p.constants.values()}
    theirs = {t.untyped_storage().data_ptr() for t in module.state_dict().values() if t.numel()}
    assert not own & theirs


def test_weights_changed_after_freezing_change_nothing() -> None:
    module, shape = build("perceptron")
    exported = trace(module, inputs(shape, 2))
    program = freeze(exported)
    x = inputs(shape, 4)
    before = execute(program, x)
    exported.module().half()  # converts the caller's parameters
    assert next(module.parameters()).dtype is torch.float16
    assert identical(execute(program, x), before)


# --- writes in place -----------------------------------------------------------------------------


def through_view(x: Tensor) -> Tensor:
    y = x * 2
    view = y[:, :3]
    view += 1
    return y


def relu_of_view(x: Tensor) -> Tensor:
    y = x * 2
    z = F.relu(y.view(-1, 3, 4), inplace=True)
    return z.flatten(1) + y


def other_view(x: Tensor) -> Tensor:
    y = x * 2
    a, b = y.chunk(2, dim=1)
    a.add_(1)
    return torch.cat([b, y], dim=1)


def through_detached(x: Tensor) -> Tensor:
    y = x * 2
    y.detach().mul_(3)
    return y


def through_dropout(x: Tensor) -> Tensor:
    y = x * 2
    z = F.dropout(y, 0.5, training=False)
    z += 1
    return z + y


@pytest.mark.parametrize(
    "function", [through_view, relu_of_view, other_view, through_detached, through_dropout]
)
def test_writes_through_a_view_whose_base_is_used_later_are_refused(function: Any) -> None:
    message = refused(does(lambda m, x: function(x)))
    assert "writes in place through a view" in message
    assert "zoo.py:" in message


def write_then_view(x: Tensor) -> Tensor:
    y = x * 2
    y.add_(1)
    z = y.view(-1, 3, 4)
    z.mul_(3)
    return z[:, 1]


def detached_in_place(x: Tensor) -> Tensor:
    y = x * 2
    y.detach_()
    y += 1
    return y


def chained(x: Tensor) -> Tensor:
    return F.relu(x.sub_(0.1).div_(0.3), inplace=True).unsqueeze_(1).add_(2).squeeze_(1)


def written_output(x: Tensor) -> Tensor:
    y = x * 2
    z = y
    z.mul_(0.3)
    return y


@pytest.mark.parametrize("function", [write_then_view, detached_in_place, chained, written_output])
@dtypes
def test_other_writes_in_place_are_undone(function: Any, dtype: torch.dtype) -> None:
    module = does(lambda m, x: function(x)).eval()
    program = program_of(module, inputs(ROW, 2), dtype)
    x = inputs(ROW, 7).to(dtype)
    before = x.clone()
    for _ in range(2):
        assert identical(execute(program, x), run(module, x))
    assert identical(x, before)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x * m.k.add_(1),
        lambda m, x: x * m.k.view(-1).add_(1),
        lambda m, x: x + m.k[1:].mul_(2)[0],
    ],
)
def test_writes_to_a_buffer_are_refused(function: Any) -> None:
    message = refused(does(function, k=torch.ones(12)))
    assert "in place" in message
    assert "constant" in message or "buffer" in message


def test_writes_of_another_dtype_are_refused() -> None:
    message = refused(does(lambda m, x: (x * 2).add_(m.k), k=torch.arange(12)))
    assert "mixes dtypes in place" in message


# --- several outputs -----------------------------------------------------------------------------


def test_outputs_have_paths() -> None:
    module = does(lambda m, x: {"logits": x * 2, "more": [x + 1, (x - 1, x.chunk(2, 1)[1])]}).eval()
    program = program_of(module, inputs(ROW, 2), torch.float32)
    x = inputs(ROW, 3)
    want = {
        "logits": x * 2,
        "more/0": x + 1,
        "more/1/0": x - 1,
        "more/1/1": x.chunk(2, 1)[1],
    }
    assert list(program.outputs) == list(want)
    assert identical(execute(program, x), want["logits"])
    for path, value in want.items():
        assert identical(execute(program.select(path), x), value)
        assert identical(execute(program.select(path).cast(BINARY32), x), value)
    with pytest.raises(InputError, match=r"no output 'nothing'.*logits, more/0, more/1/0"):
        program.select("nothing")


def test_tuples_are_numbered() -> None:
    program: Program = program_of(
        does(lambda m, x: (x * 2, x.shape[0], x + 1)).eval(), inputs(ROW, 2), torch.float32
    )
    assert list(program.outputs) == ["0", "2"]
    assert identical(execute(program.select("2"), inputs(ROW, 2)), inputs(ROW, 2) + 1)


@pytest.mark.parametrize("function", [lambda m, x: x.shape[0], lambda m, x: None])
def test_an_output_that_is_no_tensor_is_refused(function: Any) -> None:
    assert "returns no tensor" in refused(does(function))


def test_outputs_that_are_the_input_or_a_constant() -> None:
    program = program_of(does(lambda m, x: x).eval(), inputs(IMAGE, 2), torch.float16)
    x = inputs(IMAGE, 3).half()
    assert identical(execute(program, x), x)


# --- sums over dimensions of a sample ------------------------------------------------------------


def test_a_sum_may_lower_the_rank_of_a_sample_but_not_move_the_batch() -> None:
    program = program_of(
        does(lambda m, x: x.sum((2, 3)) + x.mean(3).sum(-1)).eval(), inputs(IMAGE, 2), torch.float32
    )
    x = inputs(IMAGE, 3)
    assert identical(execute(program, x), x.sum((2, 3)) + x.mean(3).sum(-1))
    columns = does(lambda m, x: x.flatten(1)[:, :1] + x.sum((1, 2, 3)))
    assert "depends on the batch size" in refused(columns, IMAGE)
    for function in (
        lambda m, x: x - x.sum(0, keepdim=True),
        lambda m, x: x / x.mean(),
        lambda m, x: x.softmax(0),
    ):
        assert "over the batch" in refused(does(function), IMAGE)
