"""``tests/readme.py`` takes files and commands of a page in order and sees what differs."""

from pathlib import Path

import pytest

from .. import readme

PAGE = """
```python title="hello.py"
print("one 1.5")
```

```console
$ python hello.py
one 1.7
$ python hello.py
two 1.5
```

```python title="hello.py"
print("three")
```

```console
$ make demo
$ python hello.py
three
```
"""


def test_files_and_commands_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    same, other, later = readme.differences(page)
    assert not same, "numbers with a decimal point are masked"
    assert [line for line in other if line[:1] in "+-"][2:] == ["-two #", "+one #"]
    assert not later, "a later block replaces the file; make is not run"


def test_pages_in_folders_are_found() -> None:
    names = {page.name for page in readme.PAGES}
    assert {"README.md", "tutorial.md", "guarantee.md"} <= names
