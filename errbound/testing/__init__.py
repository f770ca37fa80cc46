"""For users' tests: hypothesis strategies and assertions. Needs ``pip install errbound[testing]``.

``assert_certified`` and ``assert_encloses`` are for continuous integration; ``numbers``,
``tensors``, ``programs`` and ``executions`` are strategies for properties of one's own.
"""

try:
    import hypothesis as _hypothesis  # noqa: F401
except ImportError as error:
    raise ImportError(
        "errbound.testing needs hypothesis: pip install 'errbound[testing]'"
    ) from error

from errbound.testing.certified import NotCertified, assert_certified
from errbound.testing.containment import assert_encloses
from errbound.testing.executions import Execution, executions
from errbound.testing.numbers import numbers, tensors
from errbound.testing.programs import Network, programs
from errbound.testing.sums import Plan

__all__ = [
    "Execution",
    "Network",
    "NotCertified",
    "Plan",
    "assert_certified",
    "assert_encloses",
    "executions",
    "numbers",
    "programs",
    "tensors",
]
