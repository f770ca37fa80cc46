"""What a stranger puts into their own continuous integration."""

import torch
from mynet import Net

from errbound.data import open_dataset
from errbound.testing import assert_certified


def test_half_precision_answers_as_float32() -> None:
    net = Net().eval()
    net.load_state_dict(torch.load("mynet.pth", weights_only=True))
    images = open_dataset("mnist").batch(5000, 5200)
    assert_certified(net, images, format="float16", at_least=0.95)
