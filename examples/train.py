"""Train one of the two example networks on MNIST and save it as a torch.export archive.

Plain float32 cross-entropy training with Adam and a one-cycle learning rate; the CNN also sees its
images shifted by up to two pixels. Nothing in it aims at margins or at low precision. One seed and
one thread, so a run repeats itself on the same machine with the same torch version.
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
from pathlib import Path

import numpy as np
import torch
from models import MnistCNN, MnistDNN
from torch import nn
from torch.nn import functional as F

MODELS = {
    "dnn": {"class": MnistDNN, "epochs": 12, "max_lr": 2e-3, "shift": 0},
    "cnn": {"class": MnistCNN, "epochs": 10, "max_lr": 3e-3, "shift": 2},
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

The data directory must hold the four official MNIST files, still compressed:
""" + "".join(f"  {name}\n" for name in FILES.values())


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


def load_data(directory: Path) -> dict[str, torch.Tensor]:
    if not directory.is_dir():
        fail(f"--data-dir {directory} is not a directory")
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
    return data


def shifted(images: torch.Tensor, shift: int) -> torch.Tensor:
    """Move each image by its own random offset of up to `shift` pixels, filling with zeros."""
    windows = F.pad(images[:, 0], (shift,) * 4).unfold(1, 28, 1).unfold(2, 28, 1)
    n = len(images)
    dy, dx = torch.randint(0, 2 * shift + 1, (2, n))
    return windows[torch.arange(n), dy, dx].unsqueeze(1)


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
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    epochs: int,
    max_lr: float,
    shift: int,
) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=max_lr)
    steps = math.ceil(len(labels) / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=max_lr, epochs=epochs, steps_per_epoch=steps
    )
    for epoch in range(1, epochs + 1):
        start, loss_sum, hits = time.perf_counter(), 0.0, 0
        for index in torch.randperm(len(labels)).split(BATCH_SIZE):
            x, y = images[index], labels[index]
            if shift:
                x = shifted(x, shift)
            logits = model(x)
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


def save_archive(model: nn.Module, path: Path) -> None:
    """Write the model as a torch.export archive with a free batch size and no machine paths."""
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(
        model, (torch.zeros(2, 1, 28, 28),), dynamic_shapes=({0: batch},), strict=False
    )
    for node in program.graph.nodes:  # stack traces quote the file names of this machine
        node.meta.pop("stack_trace", None)
    buffer = io.BytesIO()  # given a path, torch warns about the suffix .pt
    torch.export.save(program, buffer)
    path.write_bytes(buffer.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train an example network on MNIST and save it as a torch.export archive.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", choices=sorted(MODELS), help="which network to train")
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="directory with the four MNIST .gz files"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="archive to write (.pt); its .json card goes beside",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--epochs", type=int, help="default: 12 for dnn, 10 for cnn")
    args = parser.parse_args()
    if args.out.suffix not in (".pt", ".pt2"):
        parser.error(f"--out {args.out} must end in .pt or .pt2")
    if not args.out.parent.is_dir():
        parser.error(f"--out {args.out}: no such directory {args.out.parent}")
    if args.epochs is not None and args.epochs < 1:
        parser.error("--epochs must be at least 1")

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    data = load_data(args.data_dir)
    torch.manual_seed(args.seed)
    recipe = MODELS[args.model]
    model = recipe["class"]()
    epochs = args.epochs or recipe["epochs"]
    train(
        model, data["train_images"], data["train_labels"], epochs, recipe["max_lr"], recipe["shift"]
    )

    model.eval()
    test_accuracy = accuracy(model, data["test_images"], data["test_labels"])
    share = not_binary16(model)
    print(f"test accuracy {test_accuracy:.2%} on {len(data['test_labels'])} images")
    print(f"weights that are not binary16 numbers {share:.3%}")

    save_archive(model, args.out)
    card = {
        "model": f"models.py:{recipe['class'].__name__}",
        "command": f"train.py {args.model} --seed {args.seed} --epochs {epochs}",
        "seed": args.seed,
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "optimizer": f"Adam, one-cycle learning rate, maximum {recipe['max_lr']:g}",
        "augmentation": f"shift up to {recipe['shift']} pixels" if recipe["shift"] else "none",
        "input": "float32 (N, 1, 28, 28), uint8 / 255",
        "parameters": sum(p.numel() for p in model.parameters()),
        "test_accuracy": test_accuracy,
        "share_of_weights_not_binary16": share,
        "torch_version": torch.__version__,
        "data_sha256": {
            name: hashlib.sha256((args.data_dir / name).read_bytes()).hexdigest()
            for name in FILES.values()
        },
    }
    card_path = args.out.with_suffix(".json")
    card_path.write_text(json.dumps(card, indent=2) + "\n")
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.2f} MB) and {card_path}")


if __name__ == "__main__":
    main()
