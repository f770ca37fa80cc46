"""The example networks.

Inputs of the two for MNIST have shape (N, 1, 28, 28) and values in [0, 1]; those of the one for
CIFAR-10 have shape (N, 3, 32, 32) and are (v / 255 - mean) / std with `CIFAR_MEAN` and `CIFAR_STD`.
"""

import torch
from torch import nn

CIFAR_MEAN = (0.485, 0.456, 0.406)  # red, green, blue: the usual values of ImageNet
CIFAR_STD = (0.229, 0.224, 0.225)


class MnistDNN(nn.Module):
    """784-512-512-10, fully connected, 669,706 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(28 * 28, 512),
            nn.ReLU(),
            nn.Linear(512, 512),
            nn.ReLU(),
            nn.Linear(512, 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class MnistCNN(nn.Module):
    """Two strided convolutions (32 and 64 channels) and two linear layers, 436,202 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=4, stride=2, padding=1),  # 28 x 28 -> 14 x 14
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=4, stride=2, padding=1),  # 14 x 14 -> 7 x 7
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """A convolution, padded so that stride 1 keeps the size, then batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; where the shape changes, the shortcut is 1 x 1."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = conv_norm(inputs, outputs, kernel=3, stride=stride)
        self.second = conv_norm(outputs, outputs, kernel=3, stride=1)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else conv_norm(inputs, outputs, 1, stride)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.second(self.relu(self.first(x))) + self.shortcut(x))


class CifarResNet(nn.Module):
    """A residual network of 11 convolutions in a stem and four blocks, 96,602 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            conv_norm(3, 16, kernel=3, stride=2),  # 32 x 32 -> 16 x 16
            nn.ReLU(),
            Block(16, 16, stride=1),
            Block(16, 32, stride=2),  # 16 x 16 -> 8 x 8
            Block(32, 32, stride=1),
            Block(32, 64, stride=2),  # 8 x 8 -> 4 x 4
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)
