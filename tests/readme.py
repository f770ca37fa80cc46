"""Rerun the commands that README and docs show and compare what they print.

Every ```console block holds `$ command` lines, each followed by its output. A block with a title,
such as ```python title="net.py", is a file of that name. A page's files and commands share one
folder and are taken in order. Numbers with a decimal point depend on the machine and are masked;
everything else must be the same.
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
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SKIP = ("make ", "git ", "pip ")
BLOCK = re.compile(r'^```(\w+)(?: title="([\w.]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def blocks(page: Path, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Commands of a page with the lines they are said to print; its files are written."""
    for language, title, content in BLOCK.findall(page.read_text()):
        if title:
            (folder / title).write_text(content)
        elif language == "console":
            yield from commands(content)


def commands(content: str) -> Iterator[tuple[str, list[str]]]:
    """Commands of one block with their output."""
    command, output = "", []
    for line in [*content.splitlines(), "$ "]:
        if line.startswith("$ "):
            if command:
                yield command, output
            command, output = line[2:], []
        else:
            output.append(line)


def masked(lines: list[str]) -> list[str]:
    text = [re.sub(r"\d[\d,]*\.\d+(e[+-]?\d+)?", "#", line) for line in lines]
    return [re.sub(r"\s+", " ", line).strip() for line in text if line.strip()]


def run(command: str, folder: Path) -> list[str]:
    words = shlex.split(command)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "COLUMNS": "80", "PATH": path}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


def differences(page: Path) -> Iterator[list[str]]:
    """Per command of a page, how what it prints differs from what is shown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "examples").symlink_to(ROOT / "examples")
        for command, expected in blocks(page, folder):
            if command.startswith(SKIP):
                continue
            shown, printed = masked(expected), masked(run(command, folder))
            diff = list(difflib.unified_diff(shown, printed, "shown", "printed", lineterm=""))
            print(f"{'differs' if diff else 'ok':8}{page.relative_to(ROOT)}: {command}")
            yield diff


def main() -> int:
    pages = [Path(name).resolve() for name in sys.argv[1:]] or PAGES
    found = [diff for page in pages for diff in differences(page)]
    failures = list(filter(None, found))
    print("\n".join(line for diff in failures for line in diff))
    print(f"{len(found)} commands, {len(failures)} differ")
    return 1 if failures or not found else 0


if __name__ == "__main__":
    sys.exit(main())
