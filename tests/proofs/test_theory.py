"""The theory as text: nothing is admitted, and every name that is cited exists."""

import re

import pytest

from errbound.ops import OPS
from tests.proofs.theory import PROOFS, ROOT, code, files, names

FORBIDDEN = re.compile(
    r"\b(Admitted|admit|Admit|give_up|Axiom|Axioms|Parameter|Parameters|Conjecture|Primitive|"
    r"bypass_check|"
    r"Unset\s+(Guard|Positivity|Universe)\s+Checking|type-in-type|native_compute|"
    r"vm_cast_no_check|exact_no_check)\b"
)
OPENED = re.compile(r"\b(Section|End|Variable|Variables|Hypothesis|Hypotheses|Context)\b")
PROVED = re.compile(r"Proved:\s+``(\w+)\.(\w+)``")
NO_FILES = ("File", "Step", "Module")  # an example; Python's classes, cited in the same form
CITED = re.compile(r"`([A-Z]\w+)\.(?!v`)(\w+)`")
PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]


def exported() -> set[str]:
    """The names that ``Export.v`` gives to theorems."""
    return names(PROOFS / "Export.v")


def test_every_file_is_compiled() -> None:
    others = {"Assumptions.v"}  # compiled by itself: what it prints is compared
    assert {path.name for path in PROOFS.glob("*.v")} == {p.name for p in files()} | others


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_nothing_is_admitted(path) -> None:
    text = code(path)
    found = FORBIDDEN.search(text)
    assert found is None, f"{path.name}: {found and found.group()}"
    depth = 0
    for word in OPENED.findall(text):
        if word == "Section":
            depth += 1
        elif word == "End":
            depth -= 1
        else:
            assert depth > 0, f"{path.name}: {word} outside a section"
    assert depth == 0


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_files_open_like_papers_and_stay_small(path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("(** * "), f"{path.name} has no title"
    assert len(lines) <= (250 if path.name == "Statement.v" else 400)
    assert max(map(len, lines)) <= 100


def test_the_statement_proves_nothing() -> None:
    assert not re.search(r"\b(Lemma|Theorem|Corollary|Proof)\b", code(PROOFS / "Statement.v"))


@pytest.mark.parametrize(
    "op", [op for op in OPS if op.lemma.startswith("proved: ")], ids=lambda op: op.name
)
def test_operators_cite_theorems_that_exist(op) -> None:
    cited = op.lemma.removeprefix("proved: ").partition(";")[0].split(", ")
    assert set(cited) <= exported(), op.name


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_other_name_in_a_lemma_exists_too(op) -> None:
    assert set(re.findall(r"\b\w+_(?:accepted|sound|ends)\b", op.lemma)) <= exported()


def test_some_operator_cites_a_theorem() -> None:
    assert sum(op.lemma.startswith("proved: ") for op in OPS) > len(OPS) // 2


def test_every_exported_theorem_has_its_axioms_printed() -> None:
    printed = re.findall(r"^Print Assumptions (\w+)\.$", code(PROOFS / "Assumptions.v"), re.M)
    assert sorted(printed) == sorted(exported())


@pytest.mark.parametrize("page", PAGES)
def test_documents_cite_theorems_that_exist(page) -> None:
    for module, name in CITED.findall((ROOT / page).read_text()):
        if module not in NO_FILES:
            assert name in names(PROOFS / f"{module}.v"), f"{page}: {module}.{name}"


def test_docstrings_cite_theorems_that_exist() -> None:
    cited = [
        (path.name, module, name)
        for path in (ROOT / "errbound").rglob("*.py")
        for module, name in PROVED.findall(path.read_text())
    ]
    assert cited
    for file, module, name in cited:
        assert name in names(PROOFS / f"{module}.v"), f"{file}: {module}.{name}"
