"""The architectures of the published models that tests use: callables without arguments.

For ``--arch tests/architectures.py:<name>``. Input is [0, 1], batch first; models that were trained
on normalised input take it normalised, from outside (see ``shared/README.md``).
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Mnist3Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 128)
        self.fc2 = nn.Linear(128, 64)
        self.fc3 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class _MnistConvSmall(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 4, stride=2, padding=1)
        self.fc1 = nn.Linear(784, 256)
        self.fc2 = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


def mnist_fc_3layer() -> nn.Module:
    """``mnist_fc_3layer.pth``: N×1×28×28 in [0, 1]."""
    return _Mnist3Layer()


def mnist_cnn_small() -> nn.Module:
    """``mnist_cnn_small.pth``: N×1×28×28 in [0, 1]."""
    return _MnistConvSmall()


def kw_mnist() -> nn.Module:
    """``kw_mnist.pth`` and ``mnist_a_adv.pth``: N×1×28×28 in [0, 1]."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1568, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def mnist_6_100() -> nn.Module:
    """``mnist_6_100_nat.pth``: N×1×28×28 in [0, 1].

    (The file says that 960 are correct; of the first 1000 test images 960 are on [0, 1], 941 on
    (x − 0.1307)/0.3081.)
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs in (784, 100, 100, 100, 100):
        layers += [nn.Linear(inputs, 100), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(100, 10))


def mnist_net_256x2() -> nn.Module:
    """``mnist-net_256x2.onnx`` (``onnx_weights.py`` reads it): N×1×28×28 in [0, 1]."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            layers=nn.Sequential(
                nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
            ),
        )
    )


def cifar_base() -> nn.Module:
    """``cifar_base.pth``: N×3×32×32, mean .485/.456/.406, std .225."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def cifar_2c2f() -> nn.Module:
    """``cifar_2c2f.pth``: N×3×32×32 in [0, 1].

    3136 = 4·28·28, so both strides are 1 without padding. (36.5 % of the test images correct; 26 %
    or less with ten other sets of constants, among them mean .4914/.4822/.4465 and std .2009 of the
    example that the file comes with: 22.5 %.)
    """
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3136, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def cifar_conv_small_sigmoid() -> nn.Module:
    """``cifar_conv_small_sigmoid.pth``: N×3×32×32, mean .4914/.4822/.4465, std .2023/.1994/.2010.

    (63.2 % of the test images correct; the best of the usual constants.)
    """
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, stride=2),
        nn.Sigmoid(),
        nn.Conv2d(16, 32, 4, stride=2),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.Linear(1152, 100),
        nn.Sigmoid(),
        nn.Linear(100, 10),
    )


class _Block(nn.Module):
    """Two convolutions and a shortcut: identity, or every second pixel with zero channels added."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.added = (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.added:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added, self.added))
        return F.relu(y + x)


class _ResNet20(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(_Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(_Block(16, 32, 2), *(_Block(32, 32, 1) for _ in range(2)))
        self.layer3 = nn.Sequential(_Block(32, 64, 2), *(_Block(64, 64, 1) for _ in range(2)))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(torch.flatten(F.avg_pool2d(x, x.shape[3]), 1))


def resnet20() -> nn.Module:
    """``resnet20-12fca82f.th``: N×3×32×32, mean .485/.456/.406, std .229/.224/.225."""
    return _ResNet20()
