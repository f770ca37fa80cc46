"""Coming back to a run: its model and data, loaded again and recognised by their digests."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any

from errbound.arithmetic import arithmetic_named
from errbound.data import DataSpec, Preprocess
from errbound.errors import InputError
from errbound.number import format_named
from errbound.program.load import load_model
from errbound.report.inputs import data_of
from errbound.report.run import Run
from errbound.session import Inputs, Session, Source
from errbound.verdict import Explanation, explain

SAME = ("program_m32", "program_m16")
"""Facts of the model that a session made again must repeat."""


def reopen(
    run: Run, *, arch: str | None = None, arch16: str | None = None, trust_pickle: bool = False
) -> Session:
    """The session of a run, made again from the files that it names.

    A run directory may come from somebody else, so what it says never decides that code is run:
    ``arch`` and ``trust_pickle`` must be given again where they are needed.

    Args:
        run: with facts about its model and data.
        arch: as for ``certify``; ``arch16``: for M16's own model, ``arch`` if left out.
        trust_pickle: as for ``certify``.

    Raises:
        InputError: the run was made from objects in memory; a file is missing or is not the one
            that the run was made from; the code that a file needs is not given.
    """
    s = run.summary
    data = data_of(run)
    source = _source(s["model"], "--arch", arch, trust_pickle)
    other = s["model16"]
    session = Session(
        source,
        Inputs(
            data,
            Preprocess(tuple(s["data"]["mean"]), tuple(s["data"]["std"])),
            s["data"]["offset"],
            s["data"]["samples"],
            DataSpec(**s["data"]["spec"]),
            s["radius"],
        ),
        format_named(s["format"]),
        arithmetic_named(s["arithmetic"]["row"]),
        s["model"]["output"],
        s["batch_size"],
        source16=_source(other, "--arch16", arch16 or arch, trust_pickle) if other else None,
        softmax=s["model"]["on"] == "softmax",
        effort=s["effort"],
        limit=s["time_limit"],
        tree_height=s["arithmetic"]["tree_height"],
        ties=s["ties"],
    )
    now = session.header["facts"]["model"]
    for name in SAME:
        if s["model"][name] != now[name]:
            raise InputError(
                f"{run.path}: the model traced now is not the one of the run ({name} differs): "
                "give the same --arch, with the same code and version of torch"
            )
    return session


def explain_sample(session: Session, index: int) -> Explanation:
    """Why sample ``index`` of the data set got its verdict, in the batch of its run.

    Raises:
        InputError: the run does not have that sample.
    """
    window = session.window
    if index not in window:
        raise InputError(
            f"the run has the samples {window.start} to {window.stop - 1}, not {index}"
        )
    start = window.start + (index - window.start) // session.batch_size * session.batch_size
    stop = min(start + session.batch_size, window.stop)
    x, around = session.inputs.batch(start, stop), session.inputs.around(start, stop)
    certifier = session.certifier
    if around is not None:  # explain() runs its batch: of the balls
        certifier = copy(certifier)
        certifier.batch_of = partial(certifier.batch_of, around=around)  # type: ignore[method-assign]
    return explain(certifier, x, index - start)


def _source(facts: dict[str, Any], option: str, arch: str | None, trust: bool) -> Source:
    path = facts["path"]
    if path is None:
        raise InputError("the run was made from a model in memory: there is no file to load")
    if facts["arch"] is not None and arch is None:
        raise InputError(
            f"{path}: was built by {option} {facts['arch']}; give {option} again if you trust it"
        )
    loaded = load_model(path, arch=arch, trust_pickle=trust)
    if loaded.sha256 != facts["sha256"]:
        raise InputError(
            f"{path}: is not the file that the run was made from (SHA-256 {loaded.sha256[:12]}, "
            f"the run says {facts['sha256'][:12]}): restore it, or certify again"
        )
    return Source(loaded.content, loaded.kind, path, loaded.sha256, loaded.notes, arch)
