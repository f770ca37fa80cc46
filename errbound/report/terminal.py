"""What a person sees: progress on standard error, a table, and a sentence on what is next."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from errbound.report.decimals import percent, upper
from errbound.report.run import Run

WIDTH = 80

_MEANING = {
    "domain": "the input holds NaN or infinity",
    "refuted": "the two runs gave different answers",
    "overflow": "a run left the range of its format",
    "proved": "one answer in every execution of both",
    "undecided": "no proof, no counterexample",
    "no classes": "the output is no vector of classes",
}
STAGES = {
    "input": "NaN or infinity in the input",
    "run": "the runs disagreed, or one left the range of its format",
    "forward": "intervals of all executions, carried from the input to the output",
    "backward": "differences of outputs, followed back to the input through linear relations",
    "refined": "the same, once intervals of inner nodes were narrowed by the same pass",
    "slopes": "the same, with slopes that gradient steps have improved",
}
"""What each stage looks at, in order."""

_ORDER = ("proved", "undecided", "refuted", "overflow", "domain", "no classes")
_ALWAYS = ("proved", "undecided", "refuted")


class Bar:
    """Progress with rate, time spent and time left, on a terminal; remembers how far the run is.

    The time spent moves on while a batch takes long.

    Attributes:
        what: what is being done, in a word.
        done: samples finished; ``total``: samples in all.
    """

    def __init__(self, what: str, *, shown: bool) -> None:
        self.what = what
        self.done = self.total = 0
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not shown or not console.is_terminal,
            transient=True,
        )

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def next(self, what: str) -> None:
        """Begin another task, in the place of the one that is finished."""
        self.what = what
        for task in self._bar.task_ids:
            self._bar.remove_task(task)

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` samples are finished."""
        if not self._bar.task_ids:
            self._bar.add_task(self.what, total=total, completed=done, rate="")
        task = self._bar.tasks[-1]
        speed = task.speed
        rate = f"{speed:,.0f}/s" if speed else ""
        self._bar.update(task.id, completed=done, rate=rate)
        self.done, self.total = done, total


def table(run: Run) -> str:
    """The table, the notes and the closing sentence: plain text of at most 80 columns."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, legacy_windows=False)
    s = run.summary
    model = Path(s["model"]["path"] or s["model"]["kind"]).name
    console.print(
        f"{model} on {s['data']['name']}: {s['format']} against float32, {s['arithmetic']['name']}"
    )
    console.print()
    console.print(_verdicts(s))
    console.print(_measures(s))
    console.print(decided(s))
    console.print()
    lines = [*_shown(run), *s["model"]["notes"], *filter(None, [s["data"]["note"]])]
    if s["arithmetic"]["observed"].startswith("emulated"):
        lines.append(f"observed values are {s['arithmetic']['observed']}")
    for line in lines:
        console.print(f"note: {line}")
    if lines:
        console.print()
    console.print(closing(s))
    if run.path is not None:
        console.print(f"Written to {run.path}: summary.json, samples.csv, nodes.csv")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())


def _shown(run: Run) -> Iterator[str]:
    """The first disagreements, or the first node that may overflow."""
    s = run.summary
    if s["verdicts"]["refuted"]:
        refuted = (x for x in run.each_sample() if x.verdict == "refuted")
        for x in islice(refuted, 3):
            classes = f"{x.prediction_m32} in float32, {x.prediction_m16} in {s['format']}"
            yield f"sample {x.index} is class {classes}"
    places = {f"{n['model']}:{n['node']}": n["where"] for n in run.header["nodes"]}
    for name, count in islice(s["overflow_first_nodes"].items(), 3):
        where = f" (module {places[name]})" if places.get(name) else ""
        yield f"{name}{where} is the first node that may overflow in {_many(count, 'sample')}"


def _verdicts(s: dict[str, Any]) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    grid.add_column("verdict", width=10)
    grid.add_column("samples", justify="right", width=9)
    grid.add_column("share", justify="right", width=9)
    grid.add_column("")
    for name, count, meaning in verdicts(s):
        grid.add_row(name, f"{count:,}", percent(count, s["samples"]), meaning)
    return grid


def verdicts(s: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Verdict, number of samples and meaning, of those that occur and those always named."""
    for name in _ORDER:
        count = s["verdicts"][name]
        if count or (name in _ALWAYS and s["certified_fraction"] is not None):
            yield name, count, _MEANING[name]


def _measures(s: dict[str, Any]) -> Table:
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(width=50)
    grid.add_column(justify="right")
    grid.add_row("", "")
    for row in measures(s):
        grid.add_row(*row)
    grid.add_row("", "")
    return grid


def measures(s: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each number of the summary that a reader wants, in words and as text."""
    total = s["samples"]

    def share(key: str) -> str:
        return percent(round(s[key] * total), total)

    if s["agreement_fraction"] is not None:
        yield "the two runs agree (no proof can exceed this)", share("agreement_fraction")
        yield "classic ceiling (margin > 2 x observed delta)", share("classic_ceiling_fraction")
    if s["accuracy_m32"] is not None:
        yield "accuracy of float32", share("accuracy_m32")
        yield f"accuracy of {s['format']}", share("accuracy_m16")
        yield "guaranteed accuracy (right and proved)", share("guaranteed_accuracy")
    yield "largest observed delta", _number(s["observed_delta_max"])
    yield "largest proved delta", _number(s["proved_delta_max"])
    if s["delta_ratio_samples"]:
        ratio = "proved on ball / observed" if s["radius"] else "proved / observed"
        yield (
            f"{ratio} delta, median of {s['delta_ratio_samples']:,}",
            _ratio(s["delta_ratio_median"]),
        )
        yield "the same, float32 as it ran", _ratio(s["delta16_ratio_median"])
    absent = s["overflow"]["proved absent"]
    yield "overflow proved absent", percent(absent, total)


def stages(s: dict[str, Any]) -> Iterator[tuple[str, int, float | None, str]]:
    """Stage, samples that it decided, its seconds if they are measured, and what it does.

    Those that decided nothing and took no time are left out.
    """
    for name, count in s["stages"].items():
        spent = s["times"]["stages"].get(name)
        if count or (spent and name != "run"):
            yield name, count, spent, STAGES[name]


def decided(s: dict[str, Any]) -> str:
    """What decided how many samples, and the time that took, in a line."""
    found = (
        f"{name} {count:,}" + ("" if spent is None else f" ({spent:,.1f} s)")
        for name, count, spent, _ in stages(s)
    )
    return f"decided by: {' · '.join(found)}"


def _number(x: float | None) -> str:
    return "infinite" if x is None else upper(x, 3)


def _many(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def _ratio(x: float | None) -> str:
    return "infinite" if x is None else f"{x:,.2f}"


def closing(s: dict[str, Any]) -> str:
    """What was shown, limited to these inputs, and what to do next."""
    total, counts = s["samples"], s["verdicts"]
    name = s["arithmetic"]["name"]
    name += "" if s["arithmetic"]["probed"] else " (assumed, not probed)"
    these = "this input" if total == 1 else f"these {total:,} inputs"
    if s["ties"] == "first":
        name += ", of equal outputs the first is the answer"
    if s["radius"]:
        these = f"all inputs within {s['radius']!r} of {these}"
    scope = f"For {these}, any order of summation, {name}:"
    if s["certified_fraction"] is None:
        return f"{scope} no verdict, for the output has no classes; samples.csv has the distances."
    proved = counts["proved"]
    if proved == total:
        said = f"every answer is proved to be the same in {s['format']} and float32."
    else:
        are = "is" if proved == 1 else "are"
        said = (
            f"{_many(proved, 'answer')} {are} proved to be the same in {s['format']} and float32."
        )
    return f"{scope} {said} Next: {_advice(s)}"


def _advice(s: dict[str, Any]) -> str:
    counts = s["verdicts"]
    other = "bfloat16" if s["format"] == "float16" else "float16"
    if s["overflow"]["observed"] or s["overflow"]["certain"]:
        first = max(s["overflow_first_nodes"], key=s["overflow_first_nodes"].__getitem__)
        return f"overflow may begin at {first} (nodes.csv says where); try --format {other}."
    if counts["domain"]:
        return "remove NaN and infinity from the inputs that samples.csv marks as domain."
    if counts["refuted"]:
        return (
            "keep float32 where the runs disagree (samples.csv: verdict refuted), or try "
            f"--format {other}."
        )
    if counts["undecided"]:
        if s["radius"]:
            other = "a smaller --radius" + (" or --effort max" * (s["effort"] != "max"))
        else:
            other = f"--format {other}"
        return f"samples.csv names the undecided, errbound explain says why; try {other}."
    return "inputs that are not among these need a run of their own."
