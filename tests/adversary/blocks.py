"""The pieces of random programs. A block maps a choice and a shape to a module.

Shapes are those of one sample: (F,), (T, F) or (C, H, W). ``d`` makes the choices (``pick``,
``chance``, ``integer``), ``d.unit`` is the size of the activations. Functions given to ``Do`` use
tensors and modules only through ``s``, so that copies of the network own theirs.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

BLOCKS = {}


class Do(nn.Module):
    """``forward(x) = f(self, x)``, with modules in ``s.m`` and buffers or parameters ``s.t0``..."""

    def __init__(self, text, f, modules=(), tensors=()):
        super().__init__()
        self.text, self.f = text, f
        self.m = nn.ModuleList(modules)
        for k, t in enumerate(tensors):
            if k % 2:
                self.register_parameter(f"t{k}", nn.Parameter(t, requires_grad=False))
            else:
                self.register_buffer(f"t{k}", t)

    def forward(self, x):
        return self.f(self, x)

    def extra_repr(self):
        return self.text


def block(*ranks, weight=1, sums=0):
    """Register a block for samples of these ranks; ``sums``: contractions that it contains."""

    def register(make):
        BLOCKS[make.__name__] = (make, ranks, weight, sums)
        return make

    return register


def _do(text, f, *tensors):
    return Do(text, f, (), tensors)


def _tensor(d, shape):
    """A constant that broadcasts against a sample: of its last dimension, channels or one."""
    options = [(shape[-1],), (1,), (*shape[:1], *[1] * (len(shape) - 1)), ()]
    return torch.tensor(d.values(d.pick(options)), dtype=torch.float32)


def _scalar(d):
    return d.pick([0.1307, -3.0, 1 / 3, 0.5, 1.0, 2, 0.3081, 1.0 + 2.0**-10, -1e-3])


# -- sums of products ---------------------------------------------------------------------------


@block(1, 2, 3, weight=6, sums=1)
def linear(d, shape):
    return nn.Linear(
        shape[-1],
        d.integer(1, 16 if len(shape) == 1 else 6),
        bias=d.chance(0.3 if d.sharp else 0.8),
    )


@block(3, weight=10, sums=1)
def conv(d, shape):
    c, h, w = shape
    groups = c if d.chance(0.2) else 1
    kernel = d.pick(
        [k for k in (1, 2, 3, (3, 2), (1, 3)) if max(nn.Conv2d(1, 1, k).kernel_size) <= min(h, w)]
    )
    same = kernel in (1, 3) and d.chance(0.2)
    return nn.Conv2d(
        c,
        groups * d.integer(1, 4 if groups == 1 else 1),
        kernel,
        stride=1 if same else d.pick([1, 1, 2, (2, 1)]),
        padding="same" if same else 0 if d.sharp else d.pick([0, 1, (1, 0), (2, 1)]),
        dilation=2 if not (same or d.sharp) and min(h, w) >= 5 and d.chance(0.2) else 1,
        groups=groups,
        bias=d.chance(0.3 if d.sharp else 0.75),
    )


@block(1, 2, weight=3, sums=1)
def residual_linear(d, shape):
    inner = nn.Linear(shape[-1], shape[-1])
    if d.chance(0.5):
        return Do("x + linear(x)", lambda s, x: x + s.m[0](x), [inner])
    return Do("linear(x).add_(x)", lambda s, x: s.m[0](x).add_(x), [inner])


@block(3, weight=3, sums=2)
def residual_conv(d, shape):
    c = shape[0]
    inner = [nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 1, bias=d.chance(0.5))]
    return Do("x + conv(relu_(conv(x)))", lambda s, x: s.m[1](s.m[0](x).relu_()) + x, inner)


# -- pooling and normalisation --------------------------------------------------------------------


@block(3, weight=2)
def max_pool(d, shape):
    if min(shape[1:]) < 3 or d.chance(0.5):
        return nn.MaxPool2d(2, d.pick([1, 2]), 1 if min(shape[1:]) < 2 else 0)
    return nn.MaxPool2d((3, 2), (1, 2), padding=1, ceil_mode=d.chance(0.5))


@block(3, weight=4)
def avg_pool(d, shape):
    kernel = min(d.pick([2, 3]), *shape[1:])
    return nn.AvgPool2d(
        kernel,
        d.pick([1, 2, kernel]),
        padding=d.integer(0, kernel // 2),
        ceil_mode=d.chance(0.3),
        count_include_pad=d.chance(0.6),
        divisor_override=d.pick([None, None, 3, 7]),
    )


@block(3, weight=4)
def adaptive_pool(d, shape):
    return nn.AdaptiveAvgPool2d((d.integer(1, 4), d.integer(1, 3)))


@block(1, 2, 3, weight=4)
def batch_norm(d, shape):
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    norm = kind(shape[0], affine=d.chance(0.8), eps=d.pick([1e-5, 1e-3]))
    return Do("batch norm", lambda s, x: s.m[0](x.contiguous()), [norm])


# -- elementwise ----------------------------------------------------------------------------------


@block(1, 2, 3, weight=6)
def relu(d, shape):
    if d.chance(0.5):
        return nn.ReLU()
    return _do("relu_(x + 0)", lambda s, x: torch.relu_(x.add(0.0)))


@block(1, 2, 3)
def squash(d, shape):
    return d.pick(
        [
            nn.Sigmoid(),
            nn.Tanh(),
            _do("sigmoid_", lambda s, x: x.clone().sigmoid_()),
            _do("tanh_", lambda s, x: x.clone().tanh_()),
            _do("float32 tanh", lambda s, x: torch.tanh(x.float()).to(x.dtype)),
        ]
    )


@block(1, 2, 3, weight=2)
def scalars(d, shape):
    c, a = _scalar(d), _scalar(d) * d.unit
    options = [
        (lambda s, x: x + a, "x + a"),
        (lambda s, x: x - a, "x - a"),
        (lambda s, x: a - x, "a - x"),
        (lambda s, x: x * c, "x c"),
        (lambda s, x: x / c, "x / c"),
        (lambda s, x: x.clone().mul_(c).add_(a), "mul_ add_"),
        (lambda s, x: x.clone().sub_(a).div_(c), "sub_ div_"),
    ]
    f, text = d.pick(options)
    return _do(f"{text}, c = {c}, a = {a}", f)


@block(1, 2, 3)
def from_scalar(d, shape):
    a = _scalar(d) * d.unit
    return _do(f"{a} - x", lambda s, x: torch.rsub(x, a))


@block(1, 2, 3, weight=3)
def tensors(d, shape):
    """Arithmetic with buffers and parameters of the model."""
    f, text = d.pick(
        [
            (lambda s, x: x + s.t0, "x + t0"),
            (lambda s, x: x - s.t0 * s.t1, "x - t0 t1"),
            (lambda s, x: s.t0 - x, "t0 - x"),
            (lambda s, x: torch.tensor(0.3) * x, "constant x"),
            (lambda s, x: x / torch.tensor(1.3), "x / constant"),
            (lambda s, x: x * s.t1, "x t1"),
            (lambda s, x: x.clone().mul_(s.t1).add_(s.t0), "mul_ add_"),
            (lambda s, x: x / (s.t1 * s.t1 + 0.5), "x / (t1 t1 + 0.5)"),
        ]
    )
    return _do(text, f, _tensor(d, shape) * d.unit, _tensor(d, shape))


@block(1, 2, 3, weight=2)
def self_made(d, shape):
    """Arithmetic of activations with activations, broadcast or not."""
    f, text = d.pick(
        [
            (lambda s, x: x * torch.sigmoid(x), "x sigmoid(x)"),
            (lambda s, x: x + torch.relu(x[..., :1]), "x + relu(x[..., :1])"),
            (lambda s, x: x - x * 0.5, "x - x/2"),
            (lambda s, x: x / (torch.sigmoid(x[..., :1]) + 1.5), "x / (sigmoid + 1.5)"),
            (lambda s, x: (x * 0.25).mul_(torch.tanh(x)), "mul_(tanh)"),
        ]
    )
    return _do(text, f)


@block(1, 2, 3)
def reciprocal(d, shape):
    unit = d.unit
    if d.chance(0.5):
        return _do("1/(tanh + 2.5)", lambda s, x: torch.reciprocal(torch.tanh(x) + 2.5) * unit)
    return _do("reciprocal_", lambda s, x: (torch.tanh(x) - 1.75).reciprocal_().mul_(unit))


@block(1, 2, 3)
def negative(d, shape):
    if d.chance(0.5):
        return _do("-x", lambda s, x: -x)
    return _do("neg_", lambda s, x: x.clone().neg_())


@block(1, 2, 3)
def dropout(d, shape):
    if len(shape) == 3:
        return d.pick([nn.Dropout(0.4), nn.Dropout2d(0.4), nn.AlphaDropout(0.2)])
    return d.pick([nn.Dropout(0.4), nn.Dropout(0.4, inplace=True)])


# -- layout ---------------------------------------------------------------------------------------


@block(2, 3)
def flatten(d, shape):
    if len(shape) == 3 and d.chance(0.4):
        return nn.Flatten(2)
    return nn.Flatten()


@block(1, 2, 3)
def copies(d, shape):
    f, text = d.pick(
        [
            (lambda s, x: x.clone().detach(), "clone"),
            (lambda s, x: x.detach() + 0.0, "detach"),
            (lambda s, x: x.to(x.dtype), "to"),
            (lambda s, x: (x.float() * 0.7).to(x.dtype), "float32 product"),
        ]
    )
    return _do(text, f)


@block(2, 3)
def transpose(d, shape):
    a, b = (1, 2) if len(shape) == 2 else d.pick([(1, 2), (2, 3), (-1, 1)])
    if d.chance(0.5):
        return _do("transpose", lambda s, x: x.transpose(a, b))
    return _do("transpose, contiguous", lambda s, x: x.transpose(a, b).contiguous())


@block(2, 3)
def permute(d, shape):
    order = d.pick([(0, 2, 3, 1), (0, 3, 1, 2), (0, 3, 2, 1)] if len(shape) == 3 else [(0, 2, 1)])
    if d.chance(0.5):
        return _do(f"permute {order}", lambda s, x: x.permute(order))
    return _do(f"permute {order}, contiguous", lambda s, x: x.permute(*order).contiguous())


@block(1, 2, 3)
def reshape(d, shape):
    half = 2 if math.prod(shape) % 2 == 0 else 1
    return d.pick(
        [
            _do("view(b, -1)", lambda s, x: x.contiguous().view(x.size(0), -1)),
            _do(f"reshape(-1, {half})", lambda s, x: x.reshape(x.size(0), -1, half)),
            _do("image", lambda s, x: x.reshape(x.size(0), 1, half, -1)),
        ]
    )


@block(1, 2, 3, weight=2)
def unflatten(d, shape):
    first = d.pick([k for k in (2, 3, 4) if math.prod(shape) % k == 0] or [1])
    return _do(f"unflatten {first}", lambda s, x: x.flatten(1).unflatten(1, (first, -1)))


@block(1, 2, 3)
def slices(d, shape):
    return d.pick(
        [
            _do("x[:, ::2]", lambda s, x: x[:, ::2]),
            _do("x[..., 1:]", lambda s, x: x[..., 1:]),
        ]
    )


@block(1, 2, 3)
def sizes(d, shape):
    """Slices whose bounds are computed from the batch size."""
    if d.chance(0.7):
        return _do("all", lambda s, x: x[..., : ((x.shape[0] + 65) * 9 - 2) // 2])
    return _do("product", lambda s, x: x[:, : x.size(0) * 99])


@block(2, 3)
def select(d, shape):
    if d.chance(0.5):
        return _do("x[:, 0]", lambda s, x: x[:, 0])
    return _do("x[..., -1]", lambda s, x: x[..., -1])


@block(1, 2, 3)
def narrow(d, shape):
    return _do("narrow", lambda s, x: x.narrow(1, 0, (shape[0] + 1) // 2))


@block(1, 2, 3, weight=2)
def parts(d, shape):
    """Chunks and splits, put together again."""
    n = shape[0]
    if n < 2:
        return _do("cat(x, -x)", lambda s, x: torch.cat([x, -x], 1))
    return d.pick(
        [
            _do("cat(chunk)", lambda s, x: torch.cat(x.chunk(2, 1)[::-1], 1)),
            _do("cat(split)", lambda s, x: torch.cat(torch.split(x, [1, n - 1], 1)[::-1], 1)),
            _do("split sum", lambda s, x: sum(p.mul(0.5) for p in x.split(1, 1))),
            _do(
                "chunk product",
                lambda s, x: x.chunk(2, 1)[0][:, : n // 2] * 0.5 + x[:, -(n // 2) :],
            ),
        ]
    )


@block(1, 2, 3)
def ones(d, shape):
    return d.pick(
        [
            _do("unsqueeze squeeze", lambda s, x: x.unsqueeze(1).mul(0.9).squeeze(1)),
            _do("unsqueeze_", lambda s, x: x.clone().unsqueeze_(-1).squeeze_(-1)),
        ]
    )


@block(2, 3, weight=2)
def pad(d, shape):
    if len(shape) == 2:
        return d.pick(
            [
                _do("pad", lambda s, x: F.pad(x, (1, 1))),
                _do("replicate", lambda s, x: F.pad(x, (1, 0), "replicate")),
            ]
        )
    options = [
        nn.ZeroPad2d((1, 0, 0, 1)),
        nn.ReplicationPad2d(1),
        nn.ConstantPad2d((0, 1, 1, 0), 1.5 * d.unit if d.unit == 1 else 0.0),
    ]
    if min(shape[1:]) > 1:
        options.append(nn.ReflectionPad2d(1))
    return d.pick(options)


@block(1, 2, 3)
def constant_pad(d, shape):
    value = 1.5 if d.unit == 1 else 0.0
    return _do("constant_pad_nd", lambda s, x: torch.constant_pad_nd(x, [0, 1], value))
