"""Verdicts of batches: precedence, overflow, domain, padding, escapes."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

import errbound
from errbound.arithmetic import TORCH_CPU
from errbound.number import BFLOAT16, BINARY16, Format
from errbound.program import trace
from errbound.verdict import Certifier, Overflow, Verdict, pair_of

from .making import FEATURES, Function, batch, linear, net, points


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16])
def test_observed_numbers_are_those_of_the_modules(fmt: Format) -> None:
    model, x = net(), points(70)
    found = batch(model, x, fmt)
    with torch.inference_mode():
        z32, z16 = model(x), net().to(fmt.dtype)(x.to(fmt.dtype))
    assert torch.equal(found.prediction32, z32.argmax(dim=1))
    assert torch.equal(found.prediction16, z16.argmax(dim=1))
    assert torch.equal(found.observed_delta, (z32.double() - z16.double()).abs().amax(dim=1))
    assert bool((found.proved_delta >= found.observed_delta).all())
    assert bool((found.proved_delta16 <= found.proved_delta).all())
    assert bool((found.margin_lower <= found.margin).all())
    assert set(found.verdict) <= {Verdict.PROVED, Verdict.UNDECIDED, Verdict.REFUTED}
    assert found.verdict.count(Verdict.PROVED) > 35
    assert set(found.overflow) == {Overflow.ABSENT}
    assert not found.escapes


def test_a_disagreement_is_refuted() -> None:
    model = linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    found = batch(model, torch.tensor([[1.0, 1.0 + 2.0**-12], [1.0, 2.0]]))
    assert found.verdict == [Verdict.REFUTED, Verdict.PROVED]
    assert found.stage == ["run", "forward"]
    assert found.prediction32.tolist() == [1, 1]
    assert found.prediction16.tolist() == [0, 1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_inputs_outside_the_domain(bad: float) -> None:
    x = points(3)
    x[1, 4] = bad
    found = batch(net(), x)
    assert found.verdict[1] is Verdict.DOMAIN
    assert found.stage[1] == "input"
    assert found.overflow[1] is Overflow.UNKNOWN
    assert found.prediction32[1] == found.prediction16[1] == -1
    assert found.observed_delta[1].isnan()
    assert found.proved_delta[1] == torch.inf
    others = batch(net(), points(3))
    for name in ("proved_delta", "pairwise", "margin"):
        rows = getattr(found, name)[[0, 2]], getattr(others, name)[[0, 2]]
        assert torch.equal(*rows), f"{name}: neighbours are not affected"
    assert sum(s.cells for s in found.nodes.values()) == 2 * (16 + 4) * 2


class Deep(nn.Module):
    """Grows by 300 twice, shrinks again: inner values may overflow where the output does not."""

    def __init__(self) -> None:
        super().__init__()
        grow = [[300.0, 1.0], [1.0, 300.0]]
        self.first, self.second = linear(grow, [0.0, 0.0]), linear(grow, [0.0, 0.0])
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.second(self.first(x)))


def test_the_first_node_that_overflows_is_named() -> None:
    x = torch.tensor([[0.1, 0.2], [0.5, 1.0], [300.0, 600.0], [7e4, 7e4]])
    found = batch(Deep(), x)
    assert found.overflow_node == ["", "M16:linear_1", "M16:linear", "M16:input"]
    assert found.overflow == [Overflow.ABSENT] + [Overflow.CERTAIN] * 3
    assert [v is Verdict.OVERFLOW for v in found.verdict[1:]] == [True] * 3
    assert torch.isfinite(found.observed_delta).all(), "tanh hides the infinity"
    assert not found.escapes
    wide = batch(Deep(), x, BFLOAT16)
    assert set(wide.overflow) == {Overflow.ABSENT}


def test_an_enclosure_beyond_the_range_is_undecided() -> None:
    """This order gives 65519.992, which rounds to 65504; 65520 would be infinite."""
    model = linear([[65504.0, 15.9921875, 2.0**-12, 2.0**-12], [0.0] * 4], [0.0, 0.0])
    edge = batch(model, torch.tensor([[1.0, 1.0, -1.0, 1.0]]))
    assert edge.overflow == [Overflow.POSSIBLE]
    assert edge.verdict == [Verdict.UNDECIDED]
    assert edge.overflow_node == ["M16:linear"]
    assert edge.proved_delta.item() == torch.inf
    assert edge.pairwise.item() == -torch.inf
    half = batch(model, torch.tensor([[0.5, 1.0, -1.0, 1.0]]))
    assert half.overflow == [Overflow.ABSENT]
    assert half.verdict == [Verdict.PROVED]


def test_weights_that_overflow_make_every_sample_overflow() -> None:
    model = nn.Sequential(linear([[1e6, 0.0], [0.0, 1.0]], [0.0, 0.0]), nn.ReLU()).eval()
    found = batch(model, torch.tensor([[1.0, 2.0], [3.0, 1.0]]))
    assert set(found.verdict) <= {Verdict.OVERFLOW, Verdict.REFUTED}
    assert set(found.overflow_node) == {"M16:linear"}
    assert set(found.overflow) <= {Overflow.OBSERVED, Overflow.CERTAIN}


@pytest.mark.parametrize(
    "function", [lambda y: y[:, :1], lambda y: y[:, 0], lambda y: y.reshape(y.shape[0], 2, 2)]
)
def test_outputs_without_classes(function: object) -> None:
    x = points(3)
    x[2, 0] = float("nan")
    found = batch(Function(function, net()), x)  # type: ignore[arg-type]
    assert found.verdict == [Verdict.NO_CLASSES, Verdict.NO_CLASSES, Verdict.DOMAIN]
    assert bool((found.proved_delta[:2] >= found.observed_delta[:2]).all())
    assert bool(torch.isfinite(found.proved_delta[:2]).all())
    assert found.prediction32.tolist() == [-1, -1, -1]


def test_a_static_batch_is_padded() -> None:
    model = net()
    x = points(3)
    exported = torch.export.export(model, (points(5),), strict=False)
    pair = pair_of(exported, (FEATURES,), BINARY16)
    certifier = Certifier(pair.m32, pair.m16, BINARY16, TORCH_CPU)
    assert certifier.batch == 5
    found = certifier.batch_of(x)
    assert len(found.verdict) == found.margin.shape[0] == 3
    with torch.inference_mode():
        padded = torch.cat([x, x[-1:], x[-1:]])
        assert torch.equal(found.prediction32, model(padded)[:3].argmax(dim=1))
    assert {s.cells for s in found.nodes.values()} == {3 * 16, 3 * 4}, "padding is not counted"


def test_large_layers_are_enclosed_in_chunks_without_a_trace() -> None:
    model, x = net(width=5000), points(256)
    pair = pair_of(model, (FEATURES,), BINARY16)
    whole = Certifier(pair.m32, pair.m16, BINARY16, TORCH_CPU)
    assert whole._rows({"wide": torch.zeros(256, 5000)}, 256) < 256
    found = whole.batch_of(x)
    assert not found.escapes
    assert all(s.cells == 256 * n for s, n in zip(found.nodes.values(), (5000, 4) * 2, strict=True))


@pytest.mark.parametrize("row", [0, 3])
def test_an_escape_has_its_own_bounds(row: int) -> None:
    """The enclosure of a program that computes something else, with a dead sample before it."""
    model = linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    other = linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.5])
    x = torch.tensor([[1.0, 2.0], [7e4, 0.0], [float("nan"), 0.0], [1.0, 2.0]])
    if row:
        x[0] = x[1]
    p, q = (pair_of(m, (2,), BINARY16) for m in (model, other))
    certifier = Certifier(p.m32, p.m16, BINARY16, TORCH_CPU)
    certifier.enclosers["M16"] = Certifier(q.m32, q.m16, BINARY16, TORCH_CPU).enclosers["M16"]
    found = certifier.batch_of(x)
    (escape,) = found.escapes
    assert (escape.model, escape.node, escape.sample, escape.element) == (
        "M16",
        "linear",
        row,
        (1,),
    )
    assert (escape.value, escape.lo, escape.hi) == (2.0, 2.5, 2.5)


def test_an_exported_program_gives_what_its_module_gives() -> None:
    model, x = net(), points(9)
    pair = pair_of(trace(model, x), (FEATURES,), BINARY16)
    a = Certifier(pair.m32, pair.m16, BINARY16, TORCH_CPU).batch_of(x)
    b = batch(model, x)
    for field in dataclasses.fields(a):
        got, want = getattr(a, field.name), getattr(b, field.name)
        if field.name == "seconds":
            got, want = set(got), set(want)
        same = torch.equal(got, want) if isinstance(got, Tensor) else got == want
        assert same, field.name


def test_an_observed_overflow_is_infinitely_far() -> None:
    """300 x 300 is infinite in binary16: no finite number stands for the distance."""
    model = nn.Linear(1, 2, bias=False).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[300.0], [1.0]]))
    run = errbound.certify(model, torch.tensor([[300.0], [1.0]]))
    assert [s.observed_delta for s in run.samples] == [torch.inf, 0.0]
    assert run.summary["observed_delta_max"] is None
    assert run.summary["delta_ratio_samples"] == 0
