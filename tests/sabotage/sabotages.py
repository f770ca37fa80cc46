"""The sabotages: each a mistake that was feared, written into the package's source."""

from __future__ import annotations

from dataclasses import replace

from errbound.arithmetic import TORCH_CPU, FunctionError
from errbound.number import BFLOAT16, BINARY32, accumulation

from .editing import Edit, Fault, Row

ROUNDING = "errbound.number.rounding"
SUMMATION = "errbound.number.summation"
INTERVAL = "errbound.number.interval"
THEOREM = "errbound.verdict.theorem"
SHAPES, SUMS = "errbound.ops._shapes", "errbound.ops._sums"
SOFTMAX, TRANSPOSED = "errbound.ops.softmax", "errbound.ops.conv_transpose"
CORE = "errbound.ops._softmax"
"""What softmax and log-softmax share."""

NORMAL, HALF = TORCH_CPU.sums["float32"], TORCH_CPU.sums["bfloat16"]
NEAREST = "    return x.add_(s).sub_(s)\n"
POINTS = "if total is centre else total.abs_()\n        if not x.is_point:"

SABOTAGES: dict[str, tuple[Fault, ...]] = {
    "the theorem with >=": (Edit(THEOREM, "sufficient = leads > 0", "sufficient = leads >= 0"),),
    "the first index wins against earlier ones": (
        Edit(THEOREM, "sufficient |= later & (leads == 0)", "sufficient |= leads == 0"),
    ),
    "wrong rounding direction: lower end of a sum": (
        Edit(SUMS, "lo = self.centre - wide", "lo = self.centre + wide"),
    ),
    "wrong rounding direction: upper end of a sum": (
        Edit(SUMS, "wide.add_(self.centre)", "wide.neg_().add_(self.centre)"),
    ),
    "wrong rounding direction: outward widening": (
        Edit(ROUNDING, "lo - (lo.abs() * own + grown)", "lo + (lo.abs() * own + grown)"),
    ),
    "wrong rounding direction: store truncates": (
        Edit(
            ROUNDING,
            NEAREST,
            "    t = (x + s).sub_(s)\n"
            "    q = s * 2.0**-52 / 1.5\n"
            "    return x.copy_(torch.where(t.abs() > x.abs(), t - q * x.sign(), t))\n",
        ),
    ),
    "m off by one": (
        Edit(
            SUMMATION,
            "    count = m.double()\n    additions = (count - 1.0)",
            "    count = m.double()\n    additions = (count - 2.0)",
            (("additions = (m.double() - 1.0)", "additions = (m.double() - 2.0)"),),
        ),
    ),
    "ufp one binade down": (
        Edit(
            SUMMATION,
            "addcmul_(ufp_(top),",
            "addcmul_(ufp_(top) * 0.5,",
            (("error = ufp_(top).mul_", "error = ufp_(top).mul_(0.5).mul_"),),
        ),
    ),
    "ufp of Q alone": (
        Edit(
            SUMMATION,
            "grow = up / (1.0 - kappa.clamp(max=0.5))",
            "grow = up + torch.zeros_like(kappa)",
            (("top.mul_(0.5 * up / (1.0 - kappa))", "top.mul_(0.5 * up)"),),
        ),
    ),
    "m counted by mid != 0": (
        Edit(
            SHAPES,
            "reach, rad, some = x.sizes(work.dtype)",
            "(reach, rad), some = x.sizes(work.dtype)[:2], x.mid.sign().abs().to(work.dtype)",
        ),
    ),
    "the lower end of a box left out": (
        Edit(INTERVAL, "reach = torch.maximum(low.abs(), high)", "reach = high.abs()"),
    ),
    "half of a radius in binary32": (
        Edit(INTERVAL, "(high * 0.5).sub_(low, alpha=0.5)", "(high * 0.25).sub_(low, alpha=0.25)"),
    ),
    "Q from the midpoint sum alone": (
        Edit(
            SHAPES,
            "            total.add_(spread)\n",
            "",
        ),
    ),
    "S without the bias": (
        Edit(SHAPES, "sums = apply(reach, w, b)", "sums = apply(reach, w, None)"),
    ),
    "Q without the bias": (
        Edit(
            SHAPES,
            "None, centre.to(work.dtype)",
            "None, apply(x.mid, weight.exact, None).to(work.dtype)",
        ),
    ),
    "the bias is no term": (
        Edit(SHAPES, "count(some) + (0 if bias is None else 1)", "count(some)"),
    ),
    "FMA credited": (
        Edit(
            SUMMATION,
            "alpha=(acc.product + relative) * up)",
            "alpha=(acc.product * bool((count <= 1.0).all()) + relative) * up)",
            (("* up) if alone else", "* up) if alone and bool((m <= 1.0).all()) else"),),
        ),
    ),
    "missing product rounding of M32": (
        Row(TORCH_CPU.sums, "float32", replace(NORMAL, product=0.0)),
    ),
    "missing eta": (Row(TORCH_CPU.sums, "float32", replace(NORMAL, product_absolute=0.0)),),
    "missing flush": (Row(TORCH_CPU.sums, "bfloat16", accumulation(BFLOAT16, BINARY32)),),
    "missing flush of products": (
        Row(TORCH_CPU.sums, "bfloat16", replace(HALF, product_absolute=0.0)),
    ),
    "missing flush of products and additions": (
        Row(TORCH_CPU.sums, "bfloat16", replace(HALF, addition_absolute=0.0, product_absolute=0.0)),
    ),
    "missing flush of operands": (
        Row(TORCH_CPU.sums, "bfloat16", replace(HALF, input_absolute=0.0)),
    ),
    "missing flush of weights": (
        Edit(SHAPES, "if weight.has_subnormal and acc.input_absolute:", "if False:"),
    ),
    "missing own error (gamma)": (Edit(SHAPES, "relative=gamma(fan_in + 2)", "relative=0.0"),),
    "inexact midpoint ignored": (
        Edit(
            INTERVAL,
            "torch.maximum(rad, mid - box.lo, out=rad).mul_(inflate(1))",
            "rad = (box.hi - box.lo).mul_(0.5)",
        ),
    ),
    "radius of a box left out": (Edit(SHAPES, POINTS, POINTS.replace("not x.is_point", "False")),),
    "double rounding (f64.half())": (
        Edit(ROUNDING, NEAREST, "    return x.copy_(x.to(fmt.dtype))\n"),
    ),
    "input not rounded (M16)": (
        Edit(
            "errbound.verdict.issue",
            "Interval.point(stored)",
            "Interval.point(given[0])",
        ),
    ),
    "M32's weights rounded": (
        Edit(
            "errbound.verdict.pair",
            "(program_of(wide, example, f.dtype) for f in (BINARY32, fmt))",
            "(program_of(wide.to(fmt.dtype), example, f.dtype) for f in (BINARY32, fmt))",
        ),
    ),
    "padding counted as terms": (
        Edit(
            "errbound.ops.conv",
            "return sums if groups == 1",
            "sums = torch.full_like(sums, fan_in)\n        return sums if groups == 1",
        ),
    ),
    "softmax: exp without its error": (Row(TORCH_CPU.functions, "exp", FunctionError(0.0, 0.0)),),
    "softmax: correlated ends without the error of exp": (
        Edit(SOFTMAX, "ratio = 2.0 * math.atanh(row.rho)", "ratio = 0.0 * math.atanh(row.rho)"),
    ),
    "softmax: x - max taken as exact": (
        Edit(
            CORE,
            "low, high = x.lo - (above - x.lo) * u, x.hi + (above - x.hi) * u",
            "low, high = x.lo, x.hi",
        ),
    ),
    "softmax: the sum taken as exact": (
        Edit(CORE, "sigma = float(bound.magnitude + bound.signed)", "sigma = 0.0"),
    ),
    "softmax: stored exponentials left out": (
        Edit(SOFTMAX, "if partials16(step) and dim < x.lo.dim() - 1:", "if False:"),
    ),
    "log-softmax: stored sum left out": (
        Edit(SOFTMAX, "if partials16(step) and dim == x.lo.dim() - 1:", "if False:"),
    ),
    "log-softmax: errors relative to the result": (
        Edit(
            SOFTMAX,
            "(low - own - over, high + own - under)",
            "(low * (1 + over), high * (1 + under))",
        ),
    ),
    "mean divides by all entries": (
        Edit(
            "errbound.ops.reduction",
            "float(np.float32(_count(shape, dims)))",
            "float(np.float32(math.prod(shape[1:])))",
        ),
    ),
    "slope rounded to storage": (
        Edit(
            "errbound.ops.activation",
            "found = steep(False)",
            "found = steep(True)",
        ),
    ),
    "transposed convolution: channels not counted": (
        Edit(
            TRANSPOSED,
            "seen = by_group(mask, how.groups)\n        sums",
            "seen = by_group(mask, how.groups).clamp(max=1.0)\n        sums",
        ),
    ),
    "range of partial sums not checked": (
        Edit(SHAPES, "            _check_partials(step, sums, limit)", "            pass"),
    ),
    "transposed convolution: taps added in binary32": (
        Edit(
            TRANSPOSED,
            "step.arithmetic.partials16 and step.storage.dtype.itemsize == 2",
            "False",
        ),
    ),
    "wrong tie rule: away from zero": (
        Edit(ROUNDING, NEAREST, "    return x.mul_(1 + 2.0**-50).add_(s).sub_(s)\n"),
    ),
    "wrong tie rule: toward zero": (
        Edit(ROUNDING, NEAREST, "    return x.mul_(1 - 2.0**-50).add_(s).sub_(s)\n"),
    ),
}
