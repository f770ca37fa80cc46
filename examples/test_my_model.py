"""Copy this file into your own test suite; replace the model, the samples and the numbers.

    pip install 'errbound[testing]'
    pytest test_my_model.py

Undecided samples are no bugs: choose ``at_least`` as the share that you want to keep.
"""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings

from errbound.data import open_dataset
from errbound.testing import assert_certified, assert_encloses, executions, tensors

HERE = Path(__file__).parent
with open(HERE / "mnist_dnn.pt", "rb") as file:
    MODEL = torch.export.load(file)  # or your torch.nn.Module, in evaluation mode
SAMPLES = open_dataset("mnist").batch(0, 200)  # or a tensor of yours, (N, ...), float32


@pytest.mark.parametrize("format", ["float16", "bfloat16"])
def test_16_bits_give_the_same_answers(format):
    assert_certified(MODEL, SAMPLES, format, at_least=0.99)


def test_every_execution_lies_in_its_enclosure():
    assert_encloses(MODEL, SAMPLES[:1], format="float16", executions=3)


@settings(max_examples=5, deadline=None)
@given(executions(MODEL, SAMPLES[:1], format="float16"))
def test_the_order_of_summation_does_not_matter(execution):
    assert execution.output.argmax() == 7


@settings(max_examples=4, deadline=None)
@given(tensors("float16", (1, 1, 28, 28)).map(lambda x: x.float().clamp(0, 1)))
def test_no_image_overflows(image):
    run = assert_certified(MODEL, image, "float16", at_least=0)
    assert run.samples[0].overflow == "proved absent"
