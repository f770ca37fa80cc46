"""The version of the installed package; ``pyproject.toml`` holds it."""

from importlib.metadata import PackageNotFoundError, version


def installed() -> str:
    """For example "0.1.0"; "unknown" where errbound runs from a folder that is not installed."""
    try:
        return version("errbound")
    except PackageNotFoundError:
        return "unknown"
