"""``report.html``: one file with everything about a run; it asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from errbound.report.command import command
from errbound.report.decimals import percent
from errbound.report.figures import draw
from errbound.report.html._tables import node_table, sample_table
from errbound.report.inputs import Images
from errbound.report.run import Run
from errbound.report.terminal import closing, measures, stages, verdicts


def render(run: Run, images: Images, note: str = "") -> str:
    """The page.

    Everything that comes from the run is escaped. The page's own style and script are admitted by
    their digests, so no other would run. Counts, figures, nodes and assumptions are there without
    JavaScript; only the table of samples needs it.

    Args:
        images: index of a sample to its input as (H, W) or (H, W, 3) uint8, or None; asked for
            the samples at the head of the table only.
        note: why there are no images, or "".

    Raises:
        InputError: the run's ``shadow.csv`` is damaged.
    """
    env = Environment(
        loader=PackageLoader("errbound.report.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    compact = {"sort_keys": False, "allow_nan": False, "separators": (",", ":")}
    env.policies["json.dumps_kwargs"] = {**compact, "ensure_ascii": False}
    s = run.summary
    css, js = _own("page.css"), _own("page.js")
    return env.get_template("page.html").render(
        s=s,
        model=Path(s["model"]["path"] or s["model"]["kind"]).name,
        css=css,
        js=js,
        css_digest=_digest(css),
        js_digest=_digest(js),
        verdicts=[
            (name, count, percent(count, s["samples"]), meaning)
            for name, count, meaning in verdicts(s)
        ],
        measures=list(measures(s)),
        stages=list(stages(s)),
        closing=closing(s),
        figures=[(d.title, d.alt, data_uri(d.image("png"))) for d in draw([run])],
        samples=sample_table(run, images),
        nodes=node_table(run),
        notes=[*s["model"]["notes"], *filter(None, (s["data"]["note"], note))],
        facts=_facts(s),
        command=command(s),
    )


def data_uri(png: bytes) -> str:
    """A PNG file as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _own(name: str) -> Markup:
    """A file of this package, as it is."""
    return Markup(files("errbound.report.html").joinpath(name).read_text("utf-8"))


def _digest(text: str) -> str:
    """What a content security policy calls a script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _facts(s: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups of names and values: every scalar that the summary records of how it was made."""
    groups = (
        ("Run", {k: s[k] for k in _RUN} | {"arithmetic": _name(s)}),
        ("Model (M32)", s["model"]),
        ("Model of M16", s.get("model16") or {}),
        ("Data", {**s["data"], **(s["data"].get("spec") or {})}),
        ("Versions", s["versions"]),
        ("Machine", s["machine"]),
        ("Time", s["times"]),
    )
    return [(title, shown) for title, values in groups if (shown := _shown(values))]


def _name(s: dict[str, Any]) -> str:
    return ", ".join(filter(None, (s["arithmetic"]["name"], s["arithmetic"].get("observed", ""))))


def _shown(values: dict[str, Any]) -> list[tuple[str, str]]:
    lists = {k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in values.items()}
    return [
        (name.replace("_", " "), str(value))
        for name, value in lists.items()
        if value not in (None, "") and not isinstance(value, dict) and name not in _ELSEWHERE
    ]


_RUN = ("format", "scope", "batch_size", "effort", "time_limit", "radius", "ties")
_ELSEWHERE = {"notes", "note"}
"""Facts that the page has in a place of their own."""
