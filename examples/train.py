"""Train one of the example networks and save it as a torch.export archive.

Plain float32 cross-entropy training with a one-cycle learning rate: Adam on MNIST, SGD with weight
decay on CIFAR-10. The CNN sees its images shifted by up to two pixels, the residual network by up
to four and half of them mirrored. Nothing in it aims at margins or at low precision. The network is
that of the last epoch. One seed and one thread, so a run repeats itself on the same machine with
the same torch version.
"""

import argparse
import gzip
import hashlib
import io
import json
import math
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from models import CIFAR_MEAN, CIFAR_STD, CifarResNet, MnistCNN, MnistDNN
from torch import nn
from torch.nn import functional as F

from errbound.data import DATASETS, Preprocess, load_named
from errbound.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained; `sgd` stands for SGD instead of Adam."""

    network: type[nn.Module]
    epochs: int
    max_lr: float
    shift: int = 0
    mirror: bool = False
    sgd: bool = False
    cifar10: bool = False
    memory_format: torch.memory_format = torch.contiguous_format  # while training, for speed

    @property
    def optimizer(self) -> str:
        kind = f"SGD, Nesterov momentum, weight decay {WEIGHT_DECAY:g}" if self.sgd else "Adam"
        return f"{kind}, one-cycle learning rate, maximum {self.max_lr:g}"

    @property
    def augmentation(self) -> str:
        shift = f"shift up to {self.shift} pixels" if self.shift else "none"
        return f"{shift}, mirrored with probability 1/2" if self.mirror else shift


WEIGHT_DECAY = 5e-4
MODELS = {
    "dnn": Recipe(MnistDNN, epochs=12, max_lr=2e-3),
    "cnn": Recipe(MnistCNN, epochs=10, max_lr=3e-3, shift=2),
    "resnet": Recipe(
        CifarResNet,
        epochs=36,
        max_lr=0.1,
        shift=4,
        mirror=True,
        sgd=True,
        cifar10=True,
        memory_format=torch.channels_last,
    ),
}
FILES = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}
BATCH_SIZE = 128
EXAMPLE = """\
example:
  python examples/train.py dnn --data-dir ~/data/mnist --out examples/mnist_dnn.pt
  python examples/train.py cnn --data-dir ~/data/mnist --out examples/mnist_cnn.pt
  python examples/train.py resnet --data-dir ~/data/cifar10 --out examples/cifar_resnet.pt

For dnn and cnn the data directory must hold the four official MNIST files, still compressed:
""" + "".join(f"  {name}\n" for name in FILES.values())
EXAMPLE += """\
For resnet it must hold the files of CIFAR-10, data_batch_1.bin to data_batch_5.bin and
test_batch.bin, or those of cifar-10-batches-py; each may be compressed (.gz).
"""


def fail(message: str) -> None:
    print(f"train.py: error: {message}", file=sys.stderr)
    raise SystemExit(2)


def read_idx(path: Path) -> torch.Tensor:
    """Read a gzip-compressed IDX file of unsigned bytes."""
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        fail(f"cannot read {path}: {error}")
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or len(raw) < 4 + 4 * raw[3]:
        fail(f"{path} is not an IDX file of unsigned bytes")
    header = 4 + 4 * raw[3]
    shape = tuple(np.frombuffer(raw[4:header], dtype=">u4").tolist())
    if len(raw) != header + math.prod(shape):
        fail(f"{path} is damaged: its header says {shape}, its length disagrees")
    return torch.from_numpy(np.frombuffer(raw, dtype=np.uint8, offset=header).copy()).view(shape)


def load_mnist(directory: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Images and labels of both parts, and what the card says of them."""
    missing = [name for name in FILES.values() if not (directory / name).is_file()]
    if missing:
        fail(f"{directory} lacks {len(missing)} of the 4 MNIST files: {', '.join(missing)}")
    data = {key: read_idx(directory / name) for key, name in FILES.items()}
    for part in ("train", "test"):
        images, labels = data[f"{part}_images"], data[f"{part}_labels"]
        if images.shape != (len(labels), 28, 28):
            fail(f"{part} images {tuple(images.shape)} do not match {len(labels)} labels")
        data[f"{part}_images"] = images.unsqueeze(1).float() / 255
        data[f"{part}_labels"] = labels.long()
    digests = {
        name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in FILES.values()
    }
    return data, {"input": "float32 (N, 1, 28, 28), uint8 / 255", "data_sha256": digests}


def load_cifar10(directory: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Images and labels of both parts, and what the card says of them."""
    data: dict[str, torch.Tensor] = {}
    digests: dict[str, str] = {}
    normalise = Preprocess(CIFAR_MEAN, CIFAR_STD)
    for part in ("train", "test"):
        try:
            found = load_named(DATASETS["cifar10"], directory, part)
        except InputError as error:
            fail(str(error))
        if found.note:
            fail(f"{directory}: {found.note}")
        data[f"{part}_images"] = normalise(found.batch(0, len(found)))
        data[f"{part}_labels"] = torch.tensor(found.labels)
        digests[part] = found.sha256
    return data, {
        "input": "float32 (N, 3, 32, 32), (uint8 / 255 - mean) / std",
        "mean": CIFAR_MEAN,
        "std": CIFAR_STD,
        "data_sha256": digests,
    }


def shifted(images: torch.Tensor, shift: int) -> torch.Tensor:
    """Move each image by its own random offset of up to `shift` pixels, filling with zeros."""
    n, _, height, width = images.shape
    windows = F.pad(images, (shift,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    dy, dx = torch.randint(0, 2 * shift + 1, (2, n))
    return windows[torch.arange(n), :, dy, dx]


def mirrored(images: torch.Tensor) -> torch.Tensor:
    """Swap left and right of each image with probability 1/2."""
    swap = torch.rand(len(images), 1, 1, 1) < 0.5
    return torch.where(swap, images.flip(3), images)


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.no_grad():
        hits = [
            (model(x).argmax(1) == y).sum()
            for x, y in zip(images.split(500), labels.split(500), strict=True)
        ]
    return sum(int(h) for h in hits) / len(labels)


def not_binary16(model: nn.Module) -> float:
    """Share of the weights and biases that change when rounded to binary16."""
    values = torch.cat([p.detach().flatten() for p in model.parameters()])
    return float((values.half().float() != values).double().mean())


def train(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, recipe: Recipe, epochs: int
) -> None:
    model.to(memory_format=recipe.memory_format)
    if recipe.sgd:  # the one-cycle schedule moves the momentum from 0.95 to 0.85 and back
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            model.parameters(),
            lr=recipe.max_lr,
            momentum=0.9,
            nesterov=True,
            weight_decay=WEIGHT_DECAY,
        )
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=recipe.max_lr)
    steps = math.ceil(len(labels) / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.max_lr, epochs=epochs, steps_per_epoch=steps
    )
    for epoch in range(1, epochs + 1):
        start, loss_sum, hits = time.perf_counter(), 0.0, 0
        for index in torch.randperm(len(labels)).split(BATCH_SIZE):
            x, y = images[index], labels[index]
            if recipe.shift:
                x = shifted(x, recipe.shift)
            if recipe.mirror:
                x = mirrored(x)
            logits = model(x.contiguous(memory_format=recipe.memory_format))
            loss = F.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss_sum += loss.item() * len(y)
            hits += int((logits.argmax(1) == y).sum())
        print(
            f"epoch {epoch:2d}/{epochs}  loss {loss_sum / len(labels):.5f}  "
            f"training accuracy {hits / len(labels):.2%}  {time.perf_counter() - start:.0f} s",
            flush=True,
        )
    model.to(memory_format=torch.contiguous_format)


def save_archive(model: nn.Module, example: torch.Tensor, path: Path) -> None:
    """Write the model as a torch.export archive with a free batch size and no machine paths."""
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(
        model, (torch.zeros_like(example),), dynamic_shapes=({0: batch},), strict=False
    )
    for node in program.graph.nodes:  # stack traces quote the file names of this machine
        node.meta.pop("stack_trace", None)
    buffer = io.BytesIO()  # given a path, torch warns about the suffix .pt
    torch.export.save(program, buffer)
    path.write_bytes(buffer.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train an example network and save it as a torch.export archive.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", choices=sorted(MODELS), help="which network to train")
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="directory with the data files (below)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="archive to write (.pt); its .json card goes beside",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--epochs", type=int, help="default: 12 for dnn, 10 for cnn, 36 for resnet")
    args = parser.parse_args()
    if args.out.suffix not in (".pt", ".pt2"):
        parser.error(f"--out {args.out} must end in .pt or .pt2")
    if not args.out.parent.is_dir():
        parser.error(f"--out {args.out}: no such directory {args.out.parent}")
    if args.epochs is not None and args.epochs < 1:
        parser.error("--epochs must be at least 1")
    if not args.data_dir.is_dir():
        fail(f"--data-dir {args.data_dir} is not a directory")

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    recipe = MODELS[args.model]
    data, described = (load_cifar10 if recipe.cifar10 else load_mnist)(args.data_dir)
    torch.manual_seed(args.seed)
    model = recipe.network()
    epochs = args.epochs or recipe.epochs
    train(model, data["train_images"], data["train_labels"], recipe, epochs)

    model.eval()
    test_accuracy = accuracy(model, data["test_images"], data["test_labels"])
    share = not_binary16(model)
    print(f"test accuracy {test_accuracy:.2%} on {len(data['test_labels'])} images")
    print(f"weights that are not binary16 numbers {share:.3%}")

    save_archive(model, data["test_images"][:2], args.out)
    card = {
        "model": f"models.py:{recipe.network.__name__}",
        "command": f"train.py {args.model} --seed {args.seed} --epochs {epochs}",
        "seed": args.seed,
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "optimizer": recipe.optimizer,
        "augmentation": recipe.augmentation,
        "input": described.pop("input"),
        "parameters": sum(p.numel() for p in model.parameters()),
        "test_accuracy": test_accuracy,
        "share_of_weights_not_binary16": share,
        "torch_version": torch.__version__,
        **described,
    }
    card_path = args.out.with_suffix(".json")
    card_path.write_text(json.dumps(card, indent=2) + "\n")
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.2f} MB) and {card_path}")


if __name__ == "__main__":
    main()
