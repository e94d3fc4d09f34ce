"""The types describe the module: every name and parameter, in both directions."""

import ast
import inspect
from importlib import resources

import duramen

STUB = ast.parse((resources.files(duramen) / "__init__.pyi").read_text())
HIDDEN = {"__doc__", "__module__", "__new__", "__init__", "__class__", "__repr__", "__weakref__", "__dict__", "_notify"}


def parameters(function):
    args = function.args
    return [arg.arg for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs]]


def members(node):
    return {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}


def test_every_public_name_has_types_and_every_type_a_name():
    stubs = {one.name for one in STUB.body if isinstance(one, (ast.ClassDef, ast.FunctionDef))} | {"__version__"}
    assert stubs == set(duramen.__all__)
    assert (resources.files(duramen) / "py.typed").is_file()


def test_every_method_has_the_parameters_that_its_types_say():
    checked = 0
    for one in STUB.body:
        if isinstance(one, ast.FunctionDef):
            assert parameters(one) == list(inspect.signature(getattr(duramen, one.name)).parameters), one.name
        if not isinstance(one, ast.ClassDef) or any(base.id in ("NamedTuple",) for base in one.bases):
            continue
        found = getattr(duramen, one.name)
        if issubclass(found, Exception):
            continue
        there = {name for name in vars(found) if name not in HIDDEN}
        there -= {f"__{name}__" for name in ("ne", "lt", "le", "gt", "ge", "hash", "eq")}
        typed = {name for name in members(one) if name not in ("__init__", "__hash__", "__eq__")}
        assert typed == there, one.name
        for name, method in members(one).items():
            decorated = [decorator.id for decorator in method.decorator_list]
            if "property" in decorated:
                assert inspect.isdatadescriptor(vars(found)[name]), f"{one.name}.{name}"
            elif not name.startswith("__") or name == "__init__":
                signature = inspect.signature(found if name == "__init__" else getattr(found, name))
                expected = [name for name in parameters(method) if name != "self"]
                assert [name for name in signature.parameters if name != "self"] == expected, f"{one.name}.{name}"
                checked += 1
    assert checked > 40
