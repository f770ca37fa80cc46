"""No Python file over 400 lines: print the offenders and fail."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("errbound", "tests", "examples", "benchmarks")
LIMIT = 400

if __name__ == "__main__":
    counts = {p: len(p.read_text().splitlines()) for f in FOLDERS for p in (ROOT / f).rglob("*.py")}
    long = {p: n for p, n in counts.items() if n > LIMIT}
    for path, lines in sorted(long.items()):
        print(f"{path.relative_to(ROOT)}: {lines} lines, more than {LIMIT}")
    print(f"{len(counts)} files, the longest has {max(counts.values())} lines")
    sys.exit(1 if long else 0)
