"""The cases: numbers, sums and the staircase, random and at the edges."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from errbound.number import (
    DOUBLE,
    FORMATS,
    Coefficients,
    Format,
    Working,
    rounding,
    summation,
)
from tests.analysis.test_staircase import noise
from tests.analysis.test_staircase import rounding as rounding_node
from tests.proofs.agreement import (
    JUMP,
    Exact,
    Family,
    Row,
    described,
    fractions,
    number,
)

# --- numbers -------------------------------------------------------------------------------------


def points(fmt: Format, rng: np.random.Generator, count: int) -> np.ndarray:
    """Any binary64 numbers, numbers of the format, ties and their neighbours, powers, edges."""
    quantum = fmt.emin - fmt.precision + 1
    signs = rng.choice([-1.0, 1.0], count)
    binades = rng.integers(quantum - 3, fmt.emax + 2, count)
    anywhere = np.ldexp(1.0 + rng.random(count), binades) * signs
    k = rng.integers(0, 2**fmt.precision, count)
    q = rng.integers(quantum, fmt.emax - fmt.precision + 2, count)
    q[::4] = quantum  # subnormals
    ties = np.ldexp(k + 0.5, q) * signs
    powers = np.ldexp(1.0, np.arange(quantum - 2, fmt.emax + 2))
    edges = np.array([0.0, fmt.eta, fmt.min_normal, fmt.max_finite, fmt.overflow_threshold])
    special = np.concatenate([powers, edges, -edges, -powers, 1.5 * powers])
    near = np.concatenate([ties, special])
    near = np.concatenate([near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf)])
    return np.concatenate([anywhere, np.ldexp(k.astype(float), q) * signs, near])


def nearest_cases(fmt: Format, rng: np.random.Generator) -> Family:
    x = points(fmt, rng, 1500)
    return Family(
        f"nearest, {fmt.name}",
        [f"nearest {described(fmt)} {number(v)}" for v in x.tolist()],
        lambda: fractions(rounding.nearest(torch.from_numpy(x.copy()), fmt)),
    )


def ulp_cases(fmt: Format, rng: np.random.Generator) -> Family:
    x = points(fmt, rng, 400)
    return Family(
        f"ulp, {fmt.name}",
        [f"half_ulp {described(fmt)} {number(v)}" for v in x.tolist()],
        lambda: fractions(rounding.ulp(torch.from_numpy(x.copy()), fmt) * 0.5),
    )


def ufp_cases(work: Working, rng: np.random.Generator) -> Family:
    """Normal numbers and zero; subnormal ones become 0, see ``test_subnormals_have_no_ufp``."""
    least = round(math.log2(work.min_normal))
    powers = np.ldexp(1.0, np.arange(least, 1 - least))
    x = np.ldexp(1.0 + rng.random(4000), rng.integers(least, 1 - least, 4000))
    held = torch.from_numpy(np.concatenate([[0.0], powers, np.nextafter(powers, np.inf), x]))
    held = held[held < torch.finfo(work.dtype).max].to(work.dtype)
    return Family(
        f"ufp_, {work.dtype}",
        [f"ufp {number(v)}" for v in held.tolist()],
        lambda: fractions(rounding.ufp_(held.clone())),
    )


# --- sums ----------------------------------------------------------------------------------------


def row_cases() -> Family:
    pairs = [(s, a) for s in FORMATS for a in FORMATS if a.precision >= s.precision]
    rows = [Row(s, a, flush) for s, a in pairs for flush in (False, True)]

    def found() -> list[Exact]:
        accs = [row.acc for row in rows]
        return [
            Fraction(part)
            for a in accs
            for part in (
                a.addition, a.product, a.product_absolute, a.addition_absolute, a.input_absolute,
            )
        ]  # fmt: skip

    return Family(
        "accumulation",
        [f"row {row}" for row in rows],
        found,
        lambda rows: [v for row in rows for v in row],
    )


@dataclass(frozen=True)
class Sums:
    """Random sums of a row: m, S and |s|, powers of two and neighbours among them."""

    row: Row
    m: Tensor
    magnitude: Tensor
    total: Tensor

    @property
    def cases(self) -> list[tuple[int, float, float]]:
        columns = (self.m.tolist(), self.magnitude.tolist(), self.total.tolist())
        return list(zip(*columns, strict=True))

    @staticmethod
    def draw(
        row: Row, rng: np.random.Generator, count: int, work: Working, binades: tuple[int, int],
        most: float, least: int = 0,
    ) -> Sums:  # fmt: skip
        """``most``: of m; ``least``: of m."""
        m = np.exp2(rng.uniform(0.0, math.log2(most), count)).astype(np.int64)
        m[:: count // 20] = np.arange(least, least + len(m[:: count // 20]))
        m = np.clip(m, least, int(most))
        size = np.ldexp(1.0 + rng.random(count), rng.integers(*binades, count))
        size[::5] = np.ldexp(1.0, rng.integers(*binades, len(size[::5])))
        size[1::5] = np.nextafter(size[0::5][: len(size[1::5])], 0.0)
        size[m == 0] = 0.0
        share = rng.choice([0.0, 1.0, 0.5, 2.0**-20, -1.0], count)
        share = np.where(share < 0.0, rng.random(count), share)
        held = torch.from_numpy(size).to(work.dtype)
        total = (held * torch.from_numpy(share).to(work.dtype)).clamp(max=held)
        return Sums(row, torch.from_numpy(m), held, total)


def longest(row: Row) -> float:
    """The largest m with (m-1)u <= 1/2."""
    return 0.5 / row.acc.addition + 1.0


def applied(form: Coefficients, sums: Sums) -> list[Exact]:
    """magnitude S + signed |s| + absolute, exactly."""
    parts = (form.magnitude.tolist(), form.signed.tolist(), form.absolute.tolist())
    return [
        Fraction(a) * Fraction(size) + Fraction(b) * Fraction(total) + Fraction(c)
        for a, b, c, (_, size, total) in zip(*parts, sums.cases, strict=True)
    ]


def additions(m: int) -> int:
    return max(m - 1, 0)


def bound_line(
    name: str, row: Row, case: tuple[int, float, float], relative: float, absolute: float
) -> str:
    m, size, total = case
    numbers = " ".join(number(v) for v in (size, total, relative, absolute))
    return f"{name} {row} {m} 0 {additions(m)} 0 {numbers}"


def master_cases(row: Row, rng: np.random.Generator) -> Family:
    sums = Sums.draw(row, rng, 1500, DOUBLE, (-200, 200), longest(row))
    return Family(
        f"master form, {row.name}",
        [bound_line("master", row, case, 0.0, 0.0) for case in sums.cases],
        lambda: applied(summation._master(sums.m.double(), row.acc), sums),
        factor=1 + Fraction(1, 2**40),
    )


def first_form_line(row: Row, m: int, size: float) -> str:
    return f"first_form {row} {m} 0 {additions(m)} 0 {number(size)}"


def first_form_cases(row: Row, rng: np.random.Generator) -> Family:
    sums = Sums.draw(row, rng, 1500, DOUBLE, (-200, 200), 2.0**31)
    return Family(
        f"first form, {row.name}",
        [first_form_line(row, m, size) for m, size, _ in sums.cases],
        lambda: applied(summation._first_form(sums.m.double(), row.acc), sums),
        factor=1 + Fraction(1, 2**40),
    )


def height_line(row: Row, m: int, height: int, size: float) -> str:
    return f"height_form {row} {m} 0 {additions(m)} 0 {height} 0 {number(size)}"


def height_cases(row: Row, rng: np.random.Generator, height: int) -> Family:
    sums = Sums.draw(row, rng, 700, DOUBLE, (-100, 100), 2.0**31)
    return Family(
        f"height form, h = {height}, {row.name}",
        [height_line(row, m, height, size) for m, size, _ in sums.cases],
        lambda: applied(summation._height_form(sums.m.double(), height, row.acc), sums),
        factor=1 + Fraction(1, 2**40),
    )


def sum_error_cases(
    row: Row, rng: np.random.Generator, work: Working, relative: float, absolute: float,
    tiny: tuple[int, int] | None = None,
) -> Family:  # fmt: skip
    """``tiny``: binades, of sums about the smallest normal number of ``work``."""
    binades = tiny or ((-300, 300) if work is DOUBLE else (-90, 90))
    least = 0 if absolute == 0.0 else 1  # a sum of no terms is 0
    sums = Sums.draw(row, rng, 400 if tiny else 1500, work, binades, longest(row), least)

    def found() -> list[Exact]:
        return fractions(
            summation.sum_error(
                sums.m, sums.magnitude, sums.total, row.acc,
                relative=relative, absolute=absolute, work=work,
            )
        )  # fmt: skip

    # What underflows is covered by constants.
    slack = 4 * (Fraction(work.tiny) + Fraction(work.min_normal))
    return Family(
        f"sum_error tiny, {work.dtype}, {row.name}"
        if tiny
        else f"sum_error, {work.dtype}, {row.name}, absolute {absolute}",
        [bound_line("sum_error", row, case, relative, absolute) for case in sums.cases],
        found,
        factor=JUMP,
        slack=[slack] * len(sums.m),
    )


def least_of_forms_cases(row: Row, rng: np.random.Generator, height: int | None) -> Family:
    """``sum_error`` where another form is used: (m-1)u > 1/2, or a known height."""
    most = 2.0**30 if height is None else longest(row)
    sums = Sums.draw(row, rng, 1500, DOUBLE, (-100, 100), most)
    if height is None:
        sums = replace(sums, m=sums.m + int(longest(row)))
    acc = replace(row.acc, height=height)
    lines = []
    for case in sums.cases:
        m, size, _ = case
        if height is None:
            lines.append(first_form_line(row, m, size))
        else:
            lines.append(bound_line("sum_error", row, case, 0.0, 0.0))
            lines.append(height_line(row, m, height, size))
    per = 1 if height is None else 2

    def expected(answers: list[list[Exact]]) -> list[Exact]:
        values = [a[0] for a in answers]
        return [min(v for v in values[k : k + per] if v is not None)
                for k in range(0, len(values), per)]  # fmt: skip

    return Family(
        f"sum_error, height {height}, {row.name}",
        lines,
        lambda: fractions(summation.sum_error(sums.m, sums.magnitude, sums.total, acc)),
        expected,
        factor=JUMP,
        slack=[Fraction(2) ** -990] * len(sums.m),
    )


def relative_cases(row: Row, rng: np.random.Generator, work: Working) -> Family:
    """``least`` is given: what is absolute is covered by a factor."""
    terms, least, relative, absolute = 4000, 2.0**-40, 2.0**-43, 2.0**-120
    sums = Sums.draw(row, rng, 1500, work, (-39, 40), float(terms), least=2)

    def found() -> list[Exact]:
        values = summation._relative_error(
            sums.m, sums.magnitude, sums.total, row.acc, relative, absolute, 0, work, terms, least
        )
        assert values is not None, "not the path that is to be tested"
        public = summation.sum_error(
            sums.m, sums.magnitude, sums.total, row.acc,
            relative=relative, absolute=absolute, work=work, terms=terms, least=least,
        )  # fmt: skip
        assert torch.equal(values, public)
        return fractions(values)

    return Family(
        f"_relative_error, {work.dtype}, {row.name}",
        [bound_line("sum_error", row, case, relative, absolute) for case in sums.cases],
        found,
        factor=JUMP,
    )


# --- the staircase -------------------------------------------------------------------------------


def noise_cases(fmt: Format, rng: np.random.Generator, slope: float, dtype: torch.dtype) -> Family:
    """Minus the lower end, and the upper end."""
    count = 800
    low = np.ldexp(1.0 + rng.random(count), rng.integers(fmt.emin - 3, fmt.emax - 4, count))
    low *= rng.choice([-1.0, 1.0], count)
    low[::7] = 0.0
    unit = np.maximum(np.abs(low), fmt.min_normal) * 2.0 ** (1 - fmt.precision)
    high = low + unit * rng.choice([0.0, 0.2, 1.0, 5.0, 40.0], count) * rng.random(count)
    ends = (torch.from_numpy(low)[:, None], torch.from_numpy(high)[:, None])
    stored = [rounding.nearest(v, fmt) for v in ends]
    centres = ((ends[0] + ends[1]) * 0.5, (stored[0] + stored[1]) * 0.5)
    columns = [v[:, 0].tolist() for v in (*ends, *centres)]
    cases = list(zip(*columns, strict=True))

    def found() -> list[Exact]:
        made = noise(rounding_node(*ends, fmt, centres), slope, dtype)
        parts = (made.middle[:, 0].tolist(), made.radius[:, 0].tolist())
        pairs = [
            (Fraction(middle), Fraction(radius)) for middle, radius in zip(*parts, strict=True)
        ]
        return [end for middle, radius in pairs for end in (radius - middle, radius + middle)]

    def expected(answers: list[list[Exact]]) -> list[Exact]:
        return [end for low, high in answers if low is not None for end in (-low, high)]

    # Of the roundings to ``dtype`` and of its sums.
    share = Fraction(1, 2**40) if dtype is torch.float64 else Fraction(1, 2**17)
    least = Fraction(fmt.eta)
    sizes = [share * (least + sum(abs(Fraction(v)) for v in case)) for case in cases]
    return Family(
        f"noise, {fmt.name}, slope {slope}, {dtype}",
        [f"noise {described(fmt)} {number(slope)} {' '.join(map(number, c))}" for c in cases],
        found,
        expected,
        factor=Fraction(1),
        slack=[size + Fraction(2) ** -140 for size in sizes for _ in range(2)],
    )
