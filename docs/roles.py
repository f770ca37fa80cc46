"""Docstrings use Sphinx's roles, which Markdown does not have: only the name is kept."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":(?:class|data|func|meth|mod):(?=`)")


class Roles(Extension):
    """Takes the roles out before a docstring is parsed."""

    def on_object(self, *, obj: Object, **given: Any) -> None:
        """Called once per object of the package."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub("", obj.docstring.value)
