"""A stranger's own model: trained for a moment, saved as weights."""

import torch
from torch import nn

from errbound.data import open_dataset


class Net(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 6, 5, stride=2),
            nn.LeakyReLU(0.1),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(216, 10),
        )


def main() -> None:
    torch.manual_seed(0)
    data = open_dataset("mnist")
    x, y = data.batch(0, 4000), torch.tensor(data.labels[:4000])
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(3):
        for rows in torch.randperm(4000).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    torch.save(net.state_dict(), "mynet.pth")


if __name__ == "__main__":
    main()
