"""Rerun the commands that README and docs show and compare what they print.

Every ```console block holds `$ command` lines, each followed by its output. Numbers with a decimal
point depend on the machine and are masked; everything else must be the same.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SKIP = ("make ", "git ", "pip ")


def blocks(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Commands of a page with the lines they are said to print."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        command, output = "", []
        for line in block.splitlines():
            if line.startswith("$ "):
                if command:
                    yield command, output
                command, output = line[2:], []
            else:
                output.append(line)
        if command:
            yield command, output


def masked(lines: list[str]) -> list[str]:
    text = [re.sub(r"\d[\d,]*\.\d+(e[+-]?\d+)?", "#", line) for line in lines]
    return [re.sub(r"\s+", " ", line).strip() for line in text if line.strip()]


def run(command: str, folder: Path) -> list[str]:
    words = shlex.split(command)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "COLUMNS": "80", "PATH": path}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


def main() -> int:
    failures = ran = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "examples").symlink_to(ROOT / "examples")
        for page in PAGES:
            for command, expected in blocks(page):
                if command.startswith(SKIP):
                    continue
                ran += 1
                found = run(command, folder)
                shown, printed = masked(expected), masked(found)
                diff = list(difflib.unified_diff(shown, printed, "shown", "printed", lineterm=""))
                print(f"{'differs' if diff else 'ok':8}{page.relative_to(ROOT)}: {command}")
                if diff:
                    failures += 1
                    print("\n".join(diff))
    print(f"{ran} commands, {failures} differ")
    return 1 if failures or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
