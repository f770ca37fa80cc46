"""The pieces of random programs. A block maps a choice and a shape to a module.

Shapes are those of one sample: (F,), (T, F) or (C, H, W). ``d`` makes the choices (``pick``,
``chance``, ``integer``), ``d.unit`` is the size of the activations. Functions given to ``Do`` use
tensors and modules only through ``s``, so that copies of the network own theirs. A file here is
found by itself.
"""

from importlib import import_module
from pkgutil import iter_modules

from errbound.testing.blocks._block import BLOCKS, Block, Do, block

for _family in sorted(m.name for m in iter_modules(__path__) if not m.name.startswith("_")):
    import_module(f"{__name__}.{_family}")

__all__ = ["BLOCKS", "Block", "Do", "block"]
