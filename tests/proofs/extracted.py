"""The program that Coq extracts from ``proofs/Extract.v``.

What it needs of the theory is compiled without its proofs (``coqc -vos``): those are the business
of ``make -C proofs``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest

from tests.proofs.agreement import Exact
from tests.proofs.theory import PROOFS, code, files

_REQUIRED = re.compile(r"From\s+Errbound\s+Require\s+(?:Import\s|Export\s)?([^.]*)\.")


def call(folder: Path, *command: str, text: str | None = None) -> str:
    done = subprocess.run(command, cwd=folder, input=text, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def parsed(line: str) -> list[Exact]:
    fields = [field.split("/") for field in line.split()]
    return [Fraction(int(f[0], 16), int(f[1], 16)) if len(f) == 2 else None for f in fields]


@dataclass(frozen=True)
class Program:
    """Answers cases, one a line; ``agreement.ml`` says which."""

    folder: Path

    def __call__(self, lines: Sequence[str]) -> list[list[Exact]]:
        text = "".join(f"{line}\n" for line in lines)
        found = call(self.folder, "./agreement", text=text).splitlines()
        assert len(found) == len(lines)
        return [parsed(line) for line in found]


def needed(last: str) -> list[Path]:
    """A file of the theory and all that it depends on, in order."""
    wanted, found = {last}, []
    for path in reversed(files()):
        if path.stem in wanted:
            found.append(path)
            wanted |= {name for line in _REQUIRED.findall(code(path)) for name in line.split()}
    return found[::-1]


def missing() -> list[str]:
    tools = [tool for tool in ("coqc", "ocamlfind") if shutil.which(tool) is None]
    if not tools:
        library = Path(call(PROOFS, "coqc", "-where").strip())
        return [] if (library / "user-contrib" / "Flocq").is_dir() else ["Flocq"]
    return tools


def build(folder: Path) -> Program:
    """Compile in an empty folder; skip the test without Coq, unless Coq is required."""
    if lacking := missing():
        message = f"not installed: {', '.join(lacking)}; Python and Coq are not compared"
        if os.environ.get("ERRBOUND_REQUIRE_COQ"):
            pytest.fail(message)
        pytest.skip(message)
    shutil.copy(PROOFS / "agreement.ml", folder)
    sources = needed("Extract")
    for path in sources:
        shutil.copy(path, folder)
        # Extraction is a command, which -vos would leave out.
        mode = "-vok" if path is sources[-1] else "-vos"
        call(folder, "coqc", mode, "-Q", ".", "Errbound", path.name)
    program = ("formulas.mli", "formulas.ml", "agreement.ml")
    call(folder, "ocamlfind", "ocamlopt", "-O3", "-w", "-a", *program, "-o", "agreement")
    return Program(folder)
