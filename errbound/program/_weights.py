"""State dicts: finding the weights in what a checkpoint holds, and putting them into a module."""

from collections import OrderedDict
from collections.abc import Mapping
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from errbound.errors import InputError
from errbound.program._text import listed, plain, python_command, quoted, reason

_WRAPPERS = {"module.": "nn.DataParallel", "_orig_mod.": "torch.compile"}
_COUNTER = "num_batches_tracked"  # of batch norm: older files lack it, evaluation ignores it

StateDict = OrderedDict[str, Tensor]  # an attribute _metadata may tell versions of modules


def find_weights(found: object, path: str, notes: list[str]) -> StateDict:
    """The one state dict in an unpickled object.

    Args:
        found: A state dict, or a checkpoint with one among its entries, or a list of one of these.
        path: What messages call the file.
        notes: Is told how the state dict was wrapped and what was left aside.

    Returns:
        The tensors by name, as stored.

    Raises:
        InputError: If there are no weights, or several candidates; then with the command that
            saves one of them.
    """
    if isinstance(found, (list, tuple)) and len(found) == 1:
        notes.append("the file holds a list of one entry: unwrapped")
        found = found[0]
    if (weights := _as_weights(found)) is not None:
        return weights
    if not isinstance(found, Mapping) or not found:
        raise InputError(
            f"{path}: holds {type(found).__name__}, not weights: save model.state_dict() instead"
        )
    entries = {str(key): value for key, value in found.items()}
    candidates = {key: w for key, value in entries.items() if (w := _as_weights(value)) is not None}
    if len(candidates) > 1:
        first = next(iter(candidates))
        code = (
            f'import torch; torch.save(torch.load({quoted(path)}, map_location="cpu")'
            f"[{quoted(first)}], {quoted(path, '.weights.pt')})"
        )
        raise InputError(
            f"{path}: several entries hold weights ({listed(candidates)}): save the one you mean, "
            f"for example with {python_command(code)}"
        )
    if candidates:
        key, weights = candidates.popitem()
        others = [other for other in entries if other != key]
        alone = " (a list of one)" if isinstance(entries[key], (list, tuple)) else ""
        notes.append(f"weights taken from the entry {key!r}{alone}")
    else:
        weights = OrderedDict((k, v) for k, v in entries.items() if isinstance(v, Tensor))
        others = [key for key in entries if key not in weights]
    if not weights:
        raise InputError(
            f"{path}: no entry holds weights (entries: {listed(entries)}): "
            "save model.state_dict() instead"
        )
    if others:
        notes.append(f"other entries left aside: {listed(others)}")
    return weights


def as_binary32(weights: StateDict, path: str, notes: list[str]) -> StateDict:
    """The weights with floating-point values as finite binary32 numbers.

    Args:
        weights: Tensors by name, of any dtype.
        path: What messages call the file.
        notes: Is told if binary64 values were rounded, or shorter ones widened (exactly).

    Returns:
        Tensors by name: float32, or integers as stored.

    Raises:
        InputError: If a value is NaN, infinite or outside binary32, or a tensor is complex,
            quantised or sparse; the message names the tensor.
    """
    result = copy(weights)
    stored: dict[torch.dtype, int] = {}
    for name, tensor in weights.items():
        dense = tensor.layout == torch.strided and tensor.device.type != "meta"
        if tensor.is_complex() or tensor.is_quantized or not dense:
            raise InputError(
                f"{path}: {plain(name)} is complex, quantised, sparse or without values: "
                "give the 32-bit original of the model"
            )
        if tensor.is_floating_point():
            stored[tensor.dtype] = stored.get(tensor.dtype, 0) + 1
            result[name] = tensor.to(torch.float32)
            check_finite(name, result[name], path)
    for dtype, count in stored.items():
        how_many = f"{count} of {sum(stored.values())} tensors"
        if dtype == torch.float64:
            notes.append(f"{how_many} were stored in binary64: rounded to binary32")
        elif dtype != torch.float32:
            bits = f"{torch.finfo(dtype).bits} bits ({str(dtype).removeprefix('torch.')})"
            notes.append(
                f"{how_many} are stored in {bits}: kept, so rounding weights to it changes nothing"
            )
    return result


def check_finite(name: str, tensor: Tensor, path: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        InputError: Naming the tensor and how many of its values are not finite.
    """
    if not tensor.is_floating_point():
        return
    readable = tensor.float() if tensor.dtype.itemsize == 1 else tensor
    bad = tensor.numel() - int(torch.isfinite(readable).sum())
    if bad:
        raise InputError(
            f"{path}: {plain(name)}: {bad} of {tensor.numel()} values are NaN or infinite: "
            "give a model with finite weights"
        )


def fill(
    module: nn.Module, weights: StateDict, path: str, arch: str, notes: list[str]
) -> nn.Module:
    """Put all weights into a binary32 module that has exactly these, in evaluation mode.

    Args:
        module: Built by ``arch``; changed in place.
        weights: float32 and integer tensors by name.
        path: What messages call the file.
        arch: What messages call the architecture.
        notes: Is told which prefix of all names was removed.

    Raises:
        InputError: If the module is not in binary32, names or shapes differ, or the module does not
            hold the file's values afterwards; the message shows the first few.
    """
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise InputError(
                f"--arch {arch}: {name} is {tensor.dtype}, not torch.float32: "
                "build the model in 32 bits; errbound derives the 16-bit one itself"
            )
    own = module.state_dict()
    weights = _without_prefix(weights, own, notes)
    missing = [key for key in own if key not in weights and not key.endswith(_COUNTER)]
    unexpected = [key for key in weights if key not in own]
    shapes = [
        f"{key} {_shape(weights[key])} in the file but {_shape(own[key])} in the model"
        for key in own.keys() & weights.keys()
        if isinstance(own[key], Tensor) and not _lazy(own[key])
        if own[key].shape != weights[key].shape
    ]
    faults = {
        "the file lacks": missing,
        "the model lacks": unexpected,
        "shapes differ:": sorted(shapes),
    }
    told = "; ".join(f"{what} {listed(keys)}" for what, keys in faults.items() if keys)
    if told:
        raise InputError(f"{path}: does not fit --arch {arch}: {told}: give the matching --arch")
    try:
        module.load_state_dict(weights, strict=False)
    except Exception as error:  # a module's own hooks may raise anything
        raise InputError(
            f"{path}: does not fit --arch {arch} ({reason(error)}): give the matching --arch"
        ) from None
    loaded = module.state_dict()
    altered = [key for key in weights if not _same_values(loaded[key], weights[key])]
    if altered:
        raise InputError(
            f"{path}: --arch {arch} alters {listed(altered)} (shared weights, or another dtype): "
            "give an --arch that takes the weights as they are"
        )
    return module.eval()


def describe(weights: Mapping[str, Tensor]) -> str:
    """The first names with their shapes."""
    return listed(f"{name} {_shape(tensor)}" for name, tensor in weights.items())


def _as_weights(value: object) -> StateDict | None:
    """The value as a state dict, taken out of a list of one; ``None`` if it is none."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if not isinstance(value, Mapping) or not value:
        return None
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items()):
        return None
    return copy(value) if isinstance(value, OrderedDict) else OrderedDict(value)


def _without_prefix(weights: StateDict, own: Mapping[str, Any], notes: list[str]) -> StateDict:
    """The weights without the prefix a wrapper put before all names, unless the module has it."""
    for prefix, wrapper in _WRAPPERS.items():
        wrapped = all(key.startswith(prefix) for key in weights)
        if wrapped and not any(key.startswith(prefix) for key in own):
            notes.append(f"prefix {prefix!r} ({wrapper}) removed from all names")
            consume_prefix_in_state_dict_if_present(weights, prefix)
    return weights


def _lazy(tensor: Tensor) -> bool:
    return isinstance(tensor, (nn.UninitializedParameter, nn.UninitializedBuffer))


def _same_values(a: Any, b: Tensor) -> bool:
    return isinstance(a, Tensor) and torch.equal(a.double(), b.double())


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"
