"""Hostile model files: each creates the file ``marker`` as soon as stock torch loads or uses it.

The archives are a harmless one with a single thing changed, so that nothing else can be what
``load_model`` refuses.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLES = "data/sample_inputs/model.pt"

Members = dict[str, bytes]
Json = Any


class Touch:
    """Unpickling creates the file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.marker), "w")


class Harmless(nn.Module):
    """Has what archives have: weights, a constant, sizes, a guard, a subgraph, a string."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.register_buffer("scale", torch.ones(3))
        self.shift = torch.ones(3)

    def forward(self, x: Tensor, mode: str) -> Tensor:
        with torch.no_grad():
            y = self.linear(x) * self.scale
        y = y + self.shift if mode == "plus" else y
        return y[: x.shape[0] // 2 * 2]


def run(exported: torch.export.ExportedProgram) -> Tensor:
    """The output of the program that is in the archive, or of a hostile one."""
    output: Tensor = exported.module()(torch.ones(4, 4), mode="plus")
    return output


@cache
def harmless() -> bytes:
    """The archive that all hostile ones start from."""
    batch = {0: 2 * torch.export.Dim("half", min=1, max=64)}
    exported = torch.export.export(
        Harmless().eval(),
        (torch.randn(4, 4),),
        {"mode": "plus"},
        dynamic_shapes={"x": batch, "mode": None},
    )
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    return buffer.getvalue()


def unpacked(archive: bytes) -> Members:
    """The members by name, without the top folder."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def packed(members: Members, root: str = "archive/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(root + name, content)
    return buffer.getvalue()


def edited(member: str, edit: Callable[[Json], object]) -> bytes:
    """The harmless archive with one JSON member changed in place."""
    members = unpacked(harmless())
    value = json.loads(members[member])
    edit(value)
    return packed(members | {member: json.dumps(value).encode()})


def saved(value: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def call(marker: Path) -> str:
    """Python source that creates the file; passes through JSON and both kinds of quotes."""
    return f"open('{marker}','w')"


# --------------------------------------------------------------------------------- pickles inside


def sample_inputs(marker: Path) -> bytes:
    return packed(unpacked(harmless()) | {SAMPLES: saved(((Touch(marker),), {}))})


def pickled_weight(marker: Path) -> bytes:
    return _pickled_tensor(WEIGHTS, "data/weights/weight_0", "weight_0", marker)


def pickled_constant(marker: Path) -> bytes:
    return _pickled_tensor(CONSTANTS, "data/constants/tensor_0", "tensor_0", marker)


def _pickled_tensor(config: str, member: str, path_name: str, marker: Path) -> bytes:
    members = unpacked(harmless())
    entries = json.loads(members[config])
    for entry in entries["config"].values():
        entry["use_pickle"] |= entry["path_name"] == path_name
    changed = {config: json.dumps(entries).encode(), member: saved(Touch(marker))}
    return packed(members | changed)


def opaque_constant(marker: Path) -> bytes:
    def add(config: Json) -> None:
        entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}
        config["config"]["opaque"] = entry | {"tensor_meta": None}

    members = unpacked(edited(CONSTANTS, add))
    return packed(members | {"data/constants/opaque_obj_0": pickle.dumps(Touch(marker))})


def legacy_weights(marker: Path) -> bytes:
    return packed(unpacked(harmless()) | {"data/weights/model.pt": saved(Touch(marker))})


def legacy_archive(marker: Path) -> bytes:
    program = unpacked(harmless())[MODEL]
    return packed(
        {
            "version": b"8.20",
            "serialized_exported_program.json": program,
            "serialized_state_dict.pt": saved({}),
            "serialized_constants.pt": saved({}),
            "serialized_example_inputs.pt": saved(Touch(marker)),
        },
        root="",
    )


# ----------------------------------------------------------------------------- evaluated strings


def symbolic_size(marker: Path) -> bytes:
    def edit(program: Json) -> None:
        sizes = program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        sizes[0] = {"as_expr": {"expr_str": call(marker), "hint": None}}

    return edited(MODEL, edit)


def symbolic_integer(marker: Path) -> bytes:
    def edit(program: Json) -> None:
        values = program["graph_module"]["graph"]["sym_int_values"]
        for name in values:
            values[name] = {"as_expr": {"expr_str": f"Max(1, {call(marker)})", "hint": None}}

    return edited(MODEL, edit)


def nested_symbol(marker: Path) -> bytes:
    """sympy evaluates strings inside the calls that sympy.srepr writes, too."""

    def edit(program: Json) -> None:
        sizes = program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        inner = f'floor("{call(marker)}")'
        sizes[0] = {"as_expr": {"expr_str": inner, "hint": None}}

    return edited(MODEL, edit)


def guard(marker: Path) -> bytes:
    return edited(MODEL, lambda program: program["guards_code"].append(call(marker)))


def constant_string(marker: Path) -> bytes:
    """torch quotes a string among the inputs without escaping it, in a guard."""
    members = unpacked(harmless())
    text = json.dumps(f"plus'+str({call(marker)})+'")
    program = members[MODEL].decode().replace('"as_string": "plus"', f'"as_string": {text}')
    return packed(members | {MODEL: program.encode()})


def placeholder_name(marker: Path) -> bytes:
    """torch.fx writes names into source; a default value runs when the function is defined."""
    members = unpacked(harmless())
    name = json.dumps(f"mode={call(marker)}")
    program = members[MODEL].decode().replace('"name": "mode"', f'"name": {name}')
    return packed(members | {MODEL: program.encode()})


def operator(marker: Path) -> bytes:
    """An operator of torch that creates files, called when the program runs."""

    def edit(program: Json) -> None:
        node = program["graph_module"]["graph"]["nodes"][0]
        node["target"] = "torch.ops.aten.from_file.default"
        values = {"filename": {"as_string": str(marker)}, "shared": {"as_bool": True}}
        values["size"] = {"as_int": 4}
        node["inputs"] = [{"name": k, "arg": v, "kind": 1} for k, v in values.items()]

    return edited(MODEL, edit)


def tree_enum(marker: Path) -> bytes:
    """A tree specification imports the module that an enumeration is said to be in."""
    return _tree_context(json.dumps([{"__enum__": True, "fqn": "hostile_module:X", "name": "Y"}]))


def tree_factory(marker: Path) -> bytes:
    members = unpacked(_tree_context(None))
    context = {"default_factory_module": "hostile_module", "default_factory_name": "X"}
    node = {"type": "collections.defaultdict", "context": context | {"dict_context": []}}
    text = json.dumps(json.dumps([1, node | {"children_spec": []}]))
    program = json.loads(members[MODEL])
    program["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.loads(text)
    return packed(members | {MODEL: json.dumps(program).encode()})


def _tree_context(context: str | None) -> bytes:
    def edit(program: Json) -> None:
        leaf = {"type": None, "context": None, "children_spec": []}
        node = {"type": "builtins.dict", "context": context, "children_spec": [leaf]}
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        signature["out_spec"] = json.dumps([1, node])

    return edited(MODEL, edit)


# ------------------------------------------------------------------------------- other files


def pickled_module(marker: Path) -> bytes:
    module = nn.Linear(2, 2)
    module.extra = Touch(marker)
    return saved(module)


def checkpoint_class(marker: Path) -> bytes:
    return saved({"weight": torch.zeros(2), "args": Touch(marker)})


def old_checkpoint_class(marker: Path) -> bytes:
    value = {"weight": torch.zeros(2), "args": Touch(marker)}
    return saved(value, _use_new_zipfile_serialization=False)


def plain_pickle(marker: Path) -> bytes:
    return pickle.dumps({"weight": Touch(marker)})


# --------------------------------------------------------------------------------- the routes


def _load(path: Path) -> object:
    return torch.export.load(path)


def _call(path: Path) -> object:
    return run(torch.export.load(path))


def _torch_load(path: Path) -> object:
    return torch.load(path, weights_only=False)


def _pickle_load(path: Path) -> object:
    return pickle.loads(path.read_bytes())


@dataclass(frozen=True)
class Route:
    """A hostile file, how stock Python runs its code, and what load_model's refusal names."""

    build: Callable[[Path], bytes]
    run: Callable[[Path], object]
    names: str

    def __str__(self) -> str:
        return self.build.__name__


ROUTES = (
    Route(sample_inputs, _load, "data/sample_inputs/model.pt"),
    Route(pickled_weight, _load, "linear.weight.use_pickle"),
    Route(pickled_constant, _load, "use_pickle"),
    Route(opaque_constant, _load, "data/constants/opaque_obj_0"),
    Route(legacy_weights, _load, "data/weights/model.pt"),
    Route(legacy_archive, _load, "serialized_exported_program.json"),
    Route(symbolic_size, _load, "tensor_values.x.sizes[0].as_expr.expr_str"),
    Route(symbolic_integer, _load, "sym_int_values"),
    Route(nested_symbol, _load, "tensor_values.x.sizes[0].as_expr.expr_str"),
    Route(guard, _call, "guards_code[1]"),
    Route(constant_string, _call, "as_string"),
    Route(placeholder_name, _load, "not a plain name"),
    Route(operator, _call, "nodes[0].target"),
    Route(tree_enum, _load, "out_spec"),
    Route(tree_factory, _load, "out_spec"),
    Route(pickled_module, _torch_load, "torch.nn.modules.linear.Linear"),
    Route(checkpoint_class, _torch_load, "io.open"),
    Route(old_checkpoint_class, _torch_load, "io.open"),
    Route(plain_pickle, _pickle_load, "io.open"),
)
