"""The cascade in a certifier: it only adds proofs, names the stages, and stops in time."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from errbound.arithmetic import TORCH_CPU
from errbound.number import BINARY16, Format
from errbound.program import program_of
from errbound.verdict import EFFORTS, Batch, Certifier, Overflow, Verdict


class Residual(nn.Module):
    """Deep and narrow: forward intervals forget what the two paths of a block have in common."""

    def __init__(self, blocks: int, width: int, seed: int = 0, scale: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Linear(8, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.last = nn.Linear(width, 4)
        with torch.no_grad():
            for block in self.blocks:
                block.weight.mul_(scale)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(torch.relu(x))
        found: Tensor = self.last(torch.relu(x))
        return found


def certifier(
    module: nn.Module, effort: str, limit: float | None = None, fmt: Format = BINARY16
) -> Certifier:
    example = torch.zeros(2, 8)
    m32, m16 = (program_of(module.eval(), example, d) for d in (torch.float32, fmt.dtype))
    return Certifier(m32, m16, fmt, TORCH_CPU, EFFORTS[effort], limit)


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(64, 8)


@pytest.fixture(scope="module")
def by_effort(inputs: Tensor) -> dict[str, Batch]:
    module = Residual(10, 24, scale=1.5)
    return {effort: certifier(module, effort).batch_of(inputs) for effort in EFFORTS}


def proved(batch: Batch) -> set[int]:
    return {k for k, v in enumerate(batch.verdict) if v is Verdict.PROVED}


def test_more_effort_only_adds_proofs(by_effort: dict[str, Batch]) -> None:
    fast, normal, most = (proved(by_effort[e]) for e in ("fast", "normal", "max"))
    assert fast < normal  # this network needs it
    assert normal <= most


def test_the_stage_that_decided_is_named(by_effort: dict[str, Batch]) -> None:
    fast, normal = by_effort["fast"], by_effort["normal"]
    assert set(fast.stage) <= {"forward", "run", ""}
    for k in proved(normal):
        assert normal.stage[k] == ("forward" if k in proved(fast) else "backward") or (
            normal.stage[k] == "refined"
        )
    for k in proved(fast):
        assert normal.stage[k] == "forward"
    assert {"backward"} <= set(normal.stage)
    assert set(normal.seconds) == {"run", "forward", "backward", "refined"}
    assert normal.seconds["backward"] > 0


def test_bounds_only_tighten(by_effort: dict[str, Batch]) -> None:
    fast, normal = by_effort["fast"], by_effort["normal"]
    assert bool((normal.proved_delta <= fast.proved_delta).all())
    assert bool((normal.proved_delta16 <= fast.proved_delta16).all())
    assert bool((normal.pairwise >= fast.pairwise).all())
    assert bool((normal.margin_lower >= fast.margin_lower).all())
    assert bool((normal.proved_delta >= normal.observed_delta).all())
    for k in proved(normal):
        assert normal.pairwise[k] > 0
        assert normal.margin_lower[k] > 0


def test_what_the_forward_stage_proves_is_left_alone(by_effort: dict[str, Batch]) -> None:
    fast, normal = by_effort["fast"], by_effort["normal"]
    for k in proved(fast):
        assert normal.proved_delta[k] == fast.proved_delta[k]
        assert normal.pairwise[k] == fast.pairwise[k]


def test_a_range_that_seems_to_be_left_is_kept_after_refinement() -> None:
    """Forward intervals blow up beyond 65504, where values stay small."""
    module = Residual(28, 32)
    torch.manual_seed(1)
    x = torch.randn(16, 8)
    fast, normal = (certifier(module, effort).batch_of(x) for effort in ("fast", "normal"))
    seemed = [k for k, o in enumerate(fast.overflow) if o is Overflow.POSSIBLE]
    assert seemed
    for k in seemed:
        assert fast.pairwise[k] == -torch.inf
        assert normal.overflow[k] is Overflow.ABSENT
        assert normal.overflow_node[k] == ""
        assert normal.stage[k] == "refined"


def test_a_time_limit_stops_refinement_and_stays_sound(inputs: Tensor) -> None:
    module = Residual(10, 24, scale=1.5)
    limited = certifier(module, "max", 0.0)
    start = time.perf_counter()
    batch = limited.batch_of(inputs)
    assert time.perf_counter() - start < 60
    assert proved(batch) <= proved(certifier(module, "max").batch_of(inputs))
    assert proved(certifier(module, "fast").batch_of(inputs)) <= proved(batch)


def test_batches_of_one_size_are_not_cut() -> None:
    """Samples of such a program cannot be analysed apart: the cascade leaves them alone."""
    example = torch.zeros(4, 8)

    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Residual(10, 24, scale=1.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x).reshape(4, 4)

    m32, m16 = (program_of(Sized().eval(), example, d) for d in (torch.float32, torch.float16))
    assert m32.batch == 4
    found = Certifier(m32, m16, BINARY16, TORCH_CPU, EFFORTS["normal"])
    assert found.cascade.stages == ()


def test_a_box_of_inputs_is_certified_as_a_whole(inputs: Tensor) -> None:
    module = Residual(2, 16)
    found = certifier(module, "normal")
    radius = 1e-3
    batch = found.batch_of(inputs, around=(inputs - radius, inputs + radius))
    sure = sorted(proved(batch))
    assert sure
    half = module.half()
    for seed in range(50):
        torch.manual_seed(seed)
        x = (inputs + (torch.rand_like(inputs) * 2 - 1) * radius)[sure]
        x = torch.minimum(torch.maximum(x, (inputs - radius)[sure]), (inputs + radius)[sure])
        assert half(x.half()).argmax(dim=1).tolist() == batch.prediction32[sure].tolist()


def test_a_point_box_gives_the_plain_verdicts(inputs: Tensor) -> None:
    found = certifier(Residual(4, 16), "normal")
    plain, box = found.batch_of(inputs), found.batch_of(inputs, around=(inputs, inputs))
    assert plain.verdict == box.verdict
    assert plain.stage == box.stage
    for name in ("pairwise", "proved_delta", "proved_delta16", "margin_lower"):
        assert torch.equal(getattr(plain, name), getattr(box, name))


class Ends(nn.Module):
    """Its last operator has no linear relation, or none of its operators has one."""

    def __init__(self, alone: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Identity() if alone else nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.reciprocal(self.layer(x) + 4.0)


@pytest.mark.parametrize("alone", [False, True])
def test_no_slopes_to_optimise_is_no_error(inputs: Tensor, alone: bool) -> None:
    batch = certifier(Ends(alone), "max").batch_of(inputs, around=(inputs - 0.1, inputs + 0.1))
    assert Verdict.UNDECIDED in batch.verdict
    assert set(batch.stage) <= {"forward", "backward", "refined", "slopes", "run", ""}
