"""``assert_certified``: the share that counts, the message, the smaller input, what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from errbound import InputError
from errbound.data import Preprocess
from errbound.errors import ContainmentError
from errbound.testing import NotCertified, assert_certified, certified
from errbound.verdict import Escape


def diagonal(*weights):
    """y_i = w_i x_i, in evaluation mode."""
    layer = nn.Linear(len(weights), len(weights), bias=False)
    layer.weight.data = torch.diag(torch.tensor(weights))
    return layer.eval()


SAME = diagonal(1.0, 1.0, 1.0)
CLEAR = [[3.0, 1.0, 2.0]] * 3
CLOSE = [[1.0, 1.0 + 2.0**-12, 0.7]]  # both 1 in binary16, where the first index wins
MIXED = torch.tensor(CLEAR + CLOSE)


def test_enough_samples_are_proved():
    run = assert_certified(SAME, MIXED[:3])
    assert run.certified_fraction == 1
    assert assert_certified(SAME, MIXED, at_least=0.75).verdicts["refuted"] == 1
    assert len(assert_certified(SAME, MIXED.numpy(), at_least=0)) == 4
    with pytest.raises(AssertionError):
        assert_certified(SAME, MIXED, at_least=0.76)


def test_the_share_is_compared_exactly():
    """7 of 100 are 0.07, although 0.07 * 100 is more than 7 in binary64."""
    x = torch.tensor(CLEAR[:1] * 7 + CLOSE * 93)
    assert_certified(SAME, x, at_least=0.07)


def test_the_message_shows_the_first_failing_sample():
    with pytest.raises(NotCertified) as caught:
        assert_certified(SAME, MIXED, shrink=False)
    assert (
        str(caught.value)
        == f"""\
75.00 % of 4 samples are proved, 100 % were asked (float16 against float32, torch-cpu)
  proved 3, undecided 0, refuted 1, overflow 0
first failing sample: 3, refuted
  class       1 in float32, 0 in float16
  margin      {2.0**-12!r} observed; in every execution of float32 at least 0.000243663
  difference  {2.0**-12!r} observed; in every execution of both at most 0.00024438
  lead        over the closest rival in every execution of float16 at least 0; \
a proof needs more than 0
  the two models do give different answers here: choose a format with more bits, or accept it with \
at_least"""
    )
    assert caught.value.smallest is None
    assert caught.value.run.verdicts["refuted"] == 1


def test_a_failing_sample_is_shrunk():
    """Of twelve entries two decide."""
    x = torch.full((1, 12), 0.3)
    x[0, 4], x[0, 9] = 1.0, 1.0 + 2.0**-12
    with pytest.raises(NotCertified) as caught:
        assert_certified(diagonal(*[1.0] * 12), x)
    small = caught.value.smallest
    assert small.nonzero().flatten().tolist() == [4, 9]
    assert str(caught.value).splitlines()[-2:] == [
        "smallest input found that is refuted too: 2 of 12 entries are not 0",
        f"  [4] = 1.0, [9] = {1.0 + 2.0**-12!r}",
    ]


def test_what_cannot_be_smaller_is_said():
    x = torch.tensor([[1.0, 1.0 + 2.0**-12]])
    with pytest.raises(NotCertified, match="no smaller input with the same verdict was found"):
        assert_certified(diagonal(1.0, 1.0), x)


def test_a_tie_is_undecided_and_zero_is_its_smallest_input():
    with pytest.raises(NotCertified, match="nothing is proved") as caught:
        assert_certified(SAME, torch.ones(1, 3), "bfloat16")
    assert str(caught.value).splitlines()[-1] == "  every entry is 0"
    assert not caught.value.smallest.any()


def test_overflow_names_the_node():
    model = nn.Linear(2, 2).eval()
    model.weight.data = torch.tensor([[2.0, 1.0], [1.0, 1.0]])
    with pytest.raises(NotCertified) as caught:
        assert_certified(model, torch.tensor([[2e5, 1.0]]), shrink=False)
    lines = str(caught.value).splitlines()
    assert lines[2] == "first failing sample: 0, overflow"
    assert lines[5].endswith("in every execution of both not bounded")
    assert lines[7] == "  overflow    certain, first at M16:input"
    assert "scale what comes before that node" in lines[8]


def test_the_smaller_input_is_what_the_model_takes():
    """After preprocessing: (x - 0.5) / 0.5."""
    image = torch.tensor([0.9, 0.9]).reshape(1, 2, 1, 1)
    model = nn.Sequential(nn.Flatten(), diagonal(1.0, 1.0)).eval()
    with pytest.raises(NotCertified) as caught:
        assert_certified(model, image, preprocess=Preprocess((0.5, 0.5), (0.5, 0.5)))
    assert caught.value.smallest.shape == (2, 1, 1)
    assert not caught.value.smallest.any()


@pytest.mark.parametrize(
    ("model", "x", "options", "message"),
    [
        (SAME, MIXED, {"at_least": 1.5}, "at_least=1.5: it is a share"),
        (SAME, MIXED * torch.tensor([1, float("inf"), 1]), {}, "sample 0 holds NaN or infinity"),
        (nn.Linear(3, 1).eval(), MIXED, {}, "no answer to certify"),
        (SAME, MIXED, {"format": "float99"}, "unknown format"),
        (SAME, MIXED, {"arithmetic": "abacus"}, "unknown arithmetic"),
        (SAME, MIXED, {"output": "logits"}, "no output 'logits'"),
    ],
)
def test_what_no_answer_exists_for_is_refused(model, x, options, message):
    with pytest.raises(InputError, match=message):
        assert_certified(model, x, **options)


def test_an_escape_while_shrinking_is_loud(monkeypatch):
    real = certified.Certifier

    class Broken(real):
        def batch_of(self, x):
            batch = super().batch_of(x)
            batch.escapes.append(Escape("M16", "linear", "0", 0, (1,), 3.0, 1.0, 2.0))
            return batch

    monkeypatch.setattr(certified, "Certifier", Broken)
    with pytest.raises(ContainmentError, match=r"M16 linear: the value 3\.0 .* met"):
        assert_certified(SAME, MIXED)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_errbound_itself_needs_no_hypothesis():
    code = "import sys, errbound; assert 'hypothesis' not in sys.modules"
    assert run(code).returncode == 0


def test_without_hypothesis_the_extra_is_named():
    found = run("import sys; sys.modules['hypothesis'] = None; import errbound.testing")
    assert found.stderr.strip().splitlines()[-1] == (
        "ImportError: errbound.testing needs hypothesis: pip install 'errbound[testing]'"
    )
