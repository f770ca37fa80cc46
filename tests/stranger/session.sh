#!/usr/bin/env bash
# A stranger's first hour, with nothing but the wheel: a model of their own, certified in two
# formats, explained, plotted, reported, opened in a browser, and guarded by a test of their own.
#   tests/stranger/session.sh WHEEL CONSTRAINTS
set -euo pipefail
wheel=$(realpath "$1"); constraints=$(realpath "$2"); here=$(realpath "$(dirname "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
say() { printf '\n-- %s (%ss)\n' "$*" "$SECONDS"; }

say "install the wheel"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check -c "$constraints" "$wheel[testing]" pytest
PATH="$work/venv/bin:$PATH"
cp "$here/mynet.py" .; cp "$here/guard.py" test_mynet.py

say "train and export a model of their own"
python mynet.py
errbound export mynet.pth --arch mynet.py:Net --data mnist -o mynet.pt
errbound ops --for mynet.pt | tail -1 | grep -q "Every operator has a record"

say "certify it in two formats"
errbound certify mynet.pt --data mnist --offset 5000 --limit 400 --fail-under 0.9 --out half
errbound certify mynet.pt --data mnist --offset 5000 --limit 400 --format bfloat16 --shadow 1 --out brain

errbound certify mynet.pt --data mnist --offset 5000 --limit 20 --radius pixel --out balls | grep "decided by"

say "explain a sample, plot, report"
errbound explain half --sample 5007 | tee explained.txt
grep -q "cells first split" explained.txt
test -s half/explain-5007/explanation.pdf
errbound plot half brain -o figures
test -s figures/delta-margin.pdf -a -s figures/shadow.csv
errbound report half

say "open the report in a browser"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -n "$browser" ]; then
  "$browser" --headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync \
    --user-data-dir="$work/profile" --virtual-time-budget=5000 \
    --dump-dom "file://$work/half/report.html" > page.html 2> browser.log
  grep -q "mynet.pt" page.html
  grep -q "<tr" page.html
  ! grep -E "CONSOLE.*(Uncaught|Error)" browser.log
elif [ -n "${ERRBOUND_REQUIRE_CHROMIUM:-}" ]; then
  echo "no chromium" >&2; exit 1
else
  echo "skipped: no chromium here"
fi

say "guard it with a test of their own"
python -m pytest -q test_mynet.py
say "done"
