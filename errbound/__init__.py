"""errbound: per-sample certificates that a 16-bit network answers as its 32-bit original.

``certify`` a module, an exported program or, on the command line, a model file; ``export`` a
module to an archive; ``load_run`` reads a run directory. Torch is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from errbound.api import Run as Run
    from errbound.api import certify as certify
    from errbound.api import export as export
    from errbound.api import load_run as load_run
    from errbound.errors import ContainmentError as ContainmentError
    from errbound.errors import ErrboundError as ErrboundError
    from errbound.errors import InputError as InputError

    __version__: str

_PLACES = {
    **dict.fromkeys(("Run", "certify", "export", "load_run"), "errbound.api"),
    **dict.fromkeys(("ContainmentError", "ErrboundError", "InputError"), "errbound.errors"),
}
__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "__version__":
        return import_module("errbound.version").installed()
    if name not in _PLACES:
        raise AttributeError(f"module 'errbound' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
