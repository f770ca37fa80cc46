"""Balls around samples: their ends, what is proved of them, and that executions stay inside."""

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn

import errbound
from errbound.analysis import execute
from errbound.arithmetic import TORCH_CPU
from errbound.data import Dataset, Preprocess, open_dataset
from errbound.errors import InputError
from errbound.number import BFLOAT16, BINARY16, Format
from errbound.report.run import load_run
from errbound.report.summary import schema
from errbound.session import PIXEL, radius_of
from errbound.testing.emulator import Adversary
from errbound.verdict import EFFORTS, Certifier, pair_of

from .making import net, points, without_times

EXAMPLE = Path(__file__).parents[2] / "examples" / "mnist_dnn.pt"
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def inside(lo: Tensor, hi: Tensor, count: int, seed: int) -> Tensor:
    """Binary32 tensors (count, *shape) between two: the ends, corners at random, and points."""
    g = torch.Generator().manual_seed(seed)
    shape = (count, *lo.shape)
    corner = torch.where(torch.rand(shape, generator=g) < 0.5, lo, hi)
    between = lo + torch.rand(shape, generator=g) * (hi - lo)
    row = torch.arange(count).reshape(-1, *[1] * lo.dim())
    found = torch.where(row % 2 == 0, corner, torch.clamp(between, lo, hi))
    found[0], found[1] = lo, hi
    return found


# ------------------------------------------------------------------------------------ the ends


@example(-0.10000000149011612, "0.1000000014901161193847656251")  # the sum is 1e-28, not 0
@given(NUMBERS, st.decimals(0, 10**6, allow_nan=False, allow_infinity=False, places=12))
def test_ends_are_outside_the_ball_by_less_than_two_steps(value: float, given_: object) -> None:
    """R is the decimal that was written; the ends are compared with it as fractions."""
    exact, radius = Fraction(str(given_)), float(str(given_))
    x = torch.tensor([[value]])
    ends = Preprocess().ends(x, radius)
    for end, sign in zip(ends, (-1, 1), strict=True):
        limit = Fraction(value) + sign * exact
        if bool(end.isfinite().all()):
            assert sign * (Fraction(float(end)) - limit) >= 0
        for _ in range(2):  # two steps back
            end = torch.nextafter(end, x.new_full((1, 1), -sign * torch.inf))
        if bool(end.isfinite()):
            assert sign * (Fraction(float(end)) - limit) <= 2 * Fraction(math.ulp(radius))


@pytest.mark.parametrize("radius", [1e-45, 1e-9, 0.002, 0.5])
def test_preprocessed_inputs_of_a_ball_lie_between_its_ends(radius: float) -> None:
    given_ = Preprocess((0.485, 0.456, -0.406), (0.229, 3e-5, 7.0))
    x = torch.rand(1, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    lo, hi = given_.ends(x, radius)
    low, high = Preprocess().ends(x, radius)
    near = [torch.nextafter(low, x + 1), torch.nextafter(high, x - 1)]  # neighbours of the ends
    for y in (x, *near, *inside(low[0], high[0], 40, 1)[:, None]):
        z = given_(torch.clamp(y, low, high))
        assert bool((lo <= z).all())
        assert bool((z <= hi).all())


def test_rounding_of_preprocessing_is_monotone() -> None:
    """Neighbouring binary32 numbers never change their order."""
    x = torch.tensor([0.4849]).view(torch.int32) + torch.arange(20_000, dtype=torch.int32)
    for mean, std in ((0.485, 0.229), (0.1307, 0.3081), (-3.0, 1e-6)):
        y = Preprocess((mean,), (std,))(x.view(torch.float32)[:, None])[:, 0]
        assert bool((y[1:] >= y[:-1]).all())


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf"), "half", "-1"])
def test_what_is_no_radius(bad: Any) -> None:
    with pytest.raises(InputError, match="choose 'pixel' or a number, 0 or more"):
        errbound.certify(net(), points(2), radius=bad)
    assert radius_of("pixel") == PIXEL == 0.5 / 255


# ------------------------------------------------------------------------------ what is proved


@pytest.mark.parametrize("effort", EFFORTS)
def test_radius_0_is_the_plain_certificate(effort: str, tmp_path: Path) -> None:
    x = points(40)
    plain = errbound.certify(net(), x, effort=effort, out=tmp_path / "plain")
    zero = errbound.certify(net(), x, effort=effort, radius=0, out=tmp_path / "zero")
    assert zero.samples == plain.samples
    assert str(zero.nodes) == str(plain.nodes)
    assert without_times(tmp_path / "zero") == without_times(tmp_path / "plain")
    assert "within" not in plain.summary["scope"]


def test_a_ball_of_one_point_is_the_point() -> None:
    pair, x = pair_of(net(), (12,), BINARY16), points(40)
    certifier = Certifier(pair.m32, pair.m16, BINARY16, TORCH_CPU, EFFORTS["normal"])
    one, ball = certifier.batch_of(x), certifier.batch_of(x, None, (x, x))
    assert ball.verdict == one.verdict
    assert torch.equal(ball.pairwise, one.pairwise)
    assert torch.equal(ball.proved_delta, one.proved_delta)


class Small(nn.Module):
    """A convolution, a pool, a linear layer: 1 x 8 x 8 to 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.pool = nn.Conv2d(1, 3, 3), nn.AvgPool2d(2)
        self.head = nn.Linear(27, 3)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(torch.relu(self.conv(x))).flatten(1))


@pytest.mark.parametrize("fmt", [BINARY16, BFLOAT16])
@pytest.mark.parametrize("radius", [PIXEL, 0.05])
def test_executions_on_a_ball_stay_in_its_enclosure(fmt: Format, radius: float) -> None:
    model, x = Small(), torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    around = Preprocess().ends(x, radius)
    pair = pair_of(model, (1, 8, 8), fmt)
    certifier = Certifier(pair.m32, pair.m16, fmt, TORCH_CPU, EFFORTS["normal"])
    boxes: dict[tuple[str, str], Any] = {}
    outputs = {name: p.output.name for name, p in certifier.models.items()}

    def look(model: str, node: Any, box: Any, *_: Any) -> None:
        boxes[model, node.name] = box.lo.clone(), box.hi.clone()

    found = certifier.batch_of(x, look, around)
    half, rng = Small().to(fmt.dtype), np.random.default_rng(0)
    answers: list[set[int]] = [set() for _ in x]
    for k in range(len(x)):
        y = inside(around[0][k], around[1][k], 3000, k)
        with torch.inference_mode():
            runs = {"M32": [model(y)], "M16": [half(y.to(fmt.dtype))]}
        for name, program in certifier.models.items():
            adversary = Adversary(program, rng, arithmetic=TORCH_CPU)
            runs[name].append(adversary.run(program.stored(y[:24]), lambda *_: None))
            lo, hi = (end[k] for end in boxes[name, outputs[name]])
            for z in runs[name]:
                assert bool(((lo <= z.double()) & (z.double() <= hi)).all())
                answers[k] |= set(z.argmax(dim=1).tolist())
        delta = (runs["M32"][0].double() - runs["M16"][0].double()).abs().max()
        assert float(delta) <= float(found.proved_delta[k])
    proved = [k for k, v in enumerate(found.verdict) if v == "proved"]
    assert proved, "or nothing is shown"
    assert all(answers[k] == {int(found.prediction32[k])} for k in proved)
    assert not found.escapes


def test_proved_balls_of_many_points_agree() -> None:
    x, model, radius = points(30), net(), 0.02
    fast = errbound.certify(model, x, effort="fast", radius=radius)
    run = errbound.certify(model, x, radius=radius)
    assert run.verdicts["proved"] > fast.verdicts["proved"] > 0, "the backward pass proves more"
    half = net().half()
    for sample in run.samples:
        y = inside(x[sample.index] - radius, x[sample.index] + radius, 2000, sample.index)
        with torch.inference_mode():
            z32, z16 = model(y), half(y.half())
        leads = z16[:, sample.prediction_m32, None].double() - z16.double()
        leads[:, sample.prediction_m32] = torch.inf
        assert float(leads.min()) >= sample.pairwise_lower
        if sample.verdict == "proved":
            assert {*z32.argmax(1).tolist(), *z16.argmax(1).tolist()} == {sample.prediction_m32}
        assert float((z32.double() - z16.double()).abs().max()) <= sample.proved_delta


def test_the_pixel_ball_on_mnist() -> None:
    with EXAMPLE.open("rb") as file:
        model = torch.export.load(file)
    data = open_dataset("mnist")
    run = errbound.certify(model, data, radius="pixel", limit=12)
    assert run.verdicts["proved"] >= 6
    assert run.summary["radius"] == PIXEL
    net_ = model.module()
    program = pair_of(model, (1, 28, 28), BINARY16).m16
    for sample in run.samples:
        if sample.verdict == "proved":
            (x,) = data.batch(sample.index, sample.index + 1)
            y = inside(x - PIXEL, x + PIXEL, 200, sample.index)
            with torch.inference_mode():
                z32, z16 = net_(y), execute(program, program.stored(y))
            assert {*z32.argmax(1).tolist(), *z16.argmax(1).tolist()} == {sample.prediction_m32}


def test_a_ball_over_a_boundary_is_undecided_a_disagreeing_centre_refuted() -> None:
    model = nn.Linear(2, 2).eval()
    with torch.no_grad():
        model.weight.copy_(torch.eye(2))
        model.bias.zero_()
    x = torch.tensor([[1.0, 1.5], [1.0, 1.0 + 2.0**-12], [65504.0, 0.0]])
    run = errbound.certify(model, x, radius=0.3, effort="max")
    assert [s.verdict for s in run.samples] == ["undecided", "refuted", "proved"]
    wide = errbound.certify(model, x, radius=20.0)
    assert wide.samples[0].overflow == "proved absent"
    assert wide.samples[2].overflow != "proved absent"
    assert wide.samples[2].verdict == "undecided", "the observed runs stay within the range"
    huge = errbound.certify(model, x, radius=3.4028234663852886e38)
    assert huge.samples[2].verdict == "domain", "an end of the ball is infinite"


def test_a_ball_that_may_leave_the_range_does_not_certainly() -> None:
    run = errbound.certify(nn.Linear(2, 2).eval(), torch.tensor([[65504.0, 0.0]]), radius=20.0)
    assert run.samples[0].overflow == "possible"


def test_an_end_that_became_nan_does_not_say_on_which_side() -> None:
    """E4M3 overflows to NaN: [-500, 1] holds 0, whose run stays in range."""
    for sign in (1.0, -1.0):
        x = torch.tensor([[-249.5 * sign, 0.0]])
        run = errbound.certify(nn.Linear(2, 2).eval(), x, format="float8_e4m3fn", radius=250.5)
        assert run.samples[0].overflow == "possible"


def test_bytes_are_balls_in_units_of_1() -> None:
    bytes_ = np.arange(24, dtype=np.uint8).reshape(2, 12) * 10
    by_hand = bytes_.astype(np.float32) / 255
    runs = [
        errbound.certify(net(), Dataset.from_arrays(kind), radius=0.01)
        for kind in (bytes_, by_hand)
    ]
    assert runs[0].samples == runs[1].samples


# ------------------------------------------------------------------------------ what is recorded


def test_a_run_of_balls_follows_the_schema_and_is_resumed_as_itself(tmp_path: Path) -> None:
    options: dict[str, Any] = {"radius": 0.02, "effort": "max", "time_limit": 60.0, "out": tmp_path}
    run = errbound.certify(net(), points(20), **options)
    s = json.loads((tmp_path / "summary.json").read_text())
    jsonschema.validate(s, schema())
    assert (s["radius"], s["effort"], s["time_limit"]) == (0.02, "max", 60.0)
    assert s["scope"].startswith("all inputs within 0.02 of these (in every value, before mean")
    assert list(s["stages"]) == ["input", "run", "forward", "backward", "refined", "slopes"]
    decided = sum(x.stage != "" for x in run.samples)
    assert sum(s["stages"].values()) == decided
    assert list(s["times"]["stages"]) == ["run", "forward", "backward", "refined", "slopes"]
    assert sum(s["times"]["stages"].values()) <= s["times"]["seconds"] + 0.01
    for changed, name in (
        ({"radius": 0.03}, "radius 0.02, now 0.03"),
        ({"radius": 0}, "radius 0.02, now 0"),
        ({"effort": "fast"}, "effort max, now fast"),
        ({"time_limit": None}, "time limit 60.0, now None"),
    ):
        with pytest.raises(InputError, match=f"the run to resume differs: {name}"):
            errbound.certify(net(), points(20), **{**options, **changed}, resume=True)
    again = errbound.certify(net(), points(20), **options, resume=True)
    assert again.samples == run.samples == load_run(tmp_path).samples
