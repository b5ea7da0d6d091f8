"""The rules a module is held to, one function each: the parsed module in, one sentence per breach out."""

import ast
from collections.abc import Callable, Iterator, Mapping

from kspace import errors

Rule = Callable[[ast.Module], Iterator[str]]

MAX_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_FUNCTION_P90 = 30
MAX_PUBLIC_NAMES = 6

_MUTABLE = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)
_MAKES_MUTABLE = frozenset(
    {"dict", "list", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict"}
    | {"count", "local", "Lock", "RLock", "Event", "Queue"}
)
_MUTATES = frozenset(
    {"append", "appendleft", "extend", "insert", "add", "update", "setdefault", "sort"}
    | {"pop", "popitem", "popleft", "remove", "discard", "clear"}
)
_ERRORS = {"Exception"} | {k for k, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)}
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the length of a function's body in lines, its docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method of a module."""
    return (node for node in ast.walk(tree) if isinstance(node, _FUNCTION))


def has_a_docstring(tree: ast.Module) -> Iterator[str]:
    if ast.get_docstring(tree) is None:
        yield "line 1: a module begins with a docstring"


def functions_are_short(tree: ast.Module) -> Iterator[str]:
    for function in functions(tree):
        if body_lines(function) > MAX_FUNCTION_LINES:
            yield f"line {function.lineno}: {function.name} has {body_lines(function)} lines of body"


def nothing_prints(tree: ast.Module) -> Iterator[str]:
    for call in _calls(tree):
        if isinstance(call.func, ast.Name) and call.func.id in {"print", "pprint"}:
            yield f"line {call.lineno}: {call.func.id}; log an event, or let the command line render it"


def nothing_sleeps(tree: ast.Module) -> Iterator[str]:
    names = _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and _full_name(node, names) == "time.sleep":
            yield f"line {node.lineno}: time.sleep; waiting goes through the Clock port"


def times_are_aware(tree: ast.Module) -> Iterator[str]:
    for call in _calls(tree):
        name = ast.unparse(call.func)
        has_zone = any(k.arg in {"tz", None} for k in call.keywords)
        given = len(call.args)
        is_naive = (
            (name.endswith("datetime.now") and given == 0 and not has_zone)
            or (name.endswith("datetime.fromtimestamp") and given == 1 and not has_zone)
            or name.endswith((".utcnow", ".utcfromtimestamp", "datetime.today", "date.today"))
        )
        if is_naive:
            yield f"line {call.lineno}: {name} without a time zone"


def nothing_is_caught_blindly(tree: ast.Module) -> Iterator[str]:
    """Allow a broad handler only where it raises again what it caught."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _raises_again(node):
            yield f"line {node.lineno}: a blind except"
    for call in _calls(tree):
        if ast.unparse(call.func).endswith("suppress") and any(_is_broad(given) for given in call.args):
            yield f"line {call.lineno}: a blind suppress"


def modules_hold_no_state(tree: ast.Module) -> Iterator[str]:
    """Allow constants: containers with a constant's name that no function of the module changes."""
    constants = set[str]()
    for line, name in _module_containers(tree):
        if name.isupper() or name == "__all__":
            constants.add(name)
        else:
            yield f"line {line}: {name} is a module's mutable state; pass it in, or name it as the constant it is"
    for node in {inner: None for function in functions(tree) for inner in ast.walk(function)}:
        if isinstance(node, ast.Global):
            yield f"line {node.lineno}: global {', '.join(node.names)}"
        elif (name := _changed(node)) in constants:
            yield f"line {node.lineno}: {name}, a module's constant, is changed"


def names_are_few(tree: ast.Module) -> Iterator[str]:
    """Count public functions and classes; an error class belongs to the contract of what raises it."""
    public = [
        node.name
        for node in tree.body
        if isinstance(node, (*_FUNCTION, ast.ClassDef)) and not node.name.startswith("_") and not _is_error(node, tree)
    ]
    if len(public) > MAX_PUBLIC_NAMES:
        yield f"{len(public)} public names: {', '.join(public)}"


def nothing_is_mocked(tree: ast.Module) -> Iterator[str]:
    imported = {part for name in _imported(tree).values() for part in (name, name.rpartition(".")[0])}
    if imported & {"mock", "unittest.mock"}:
        yield "a mock is imported; faults are injected through ports"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "monkeypatch.setattr":
            yield f"line {node.lineno}: monkeypatch.setattr; faults are injected through ports"


def skips_are_seen(tree: ast.Module) -> Iterator[str]:
    """A skip of a whole module would escape KSPACE_REQUIRE_ALL."""
    for call in _calls(tree):
        name = ast.unparse(call.func)
        if name.endswith("importorskip") or any(k.arg == "allow_module_level" for k in call.keywords):
            yield f"line {call.lineno}: a whole module is skipped; ask for what is missing in a fixture"


EVERYWHERE: Mapping[Rule, str] = {
    functions_are_short: "def long():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES + 1),
    nothing_sleeps: "from time import sleep as rest\nrest(1)",
    nothing_is_mocked: "from unittest import mock",
    skips_are_seen: "import pytest\nnumpy = pytest.importorskip('numpy')",
}
"""Rules for packages and tests, each with a breach of it."""

IN_PACKAGES: Mapping[Rule, str] = {
    has_a_docstring: "x = 1",
    nothing_prints: "print('done')",
    times_are_aware: "from datetime import datetime\nat = datetime.now()",
    nothing_is_caught_blindly: "try:\n    x = 1\nexcept (ValueError, Exception):\n    x = 2",
    modules_hold_no_state: "SEEN = []\ndef see(x):\n    SEEN.append(x)",
    names_are_few: "\n".join(f"def verb_{n}(): ..." for n in range(MAX_PUBLIC_NAMES + 1)),
}
"""Rules for packages alone, each with a breach of it."""


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _imported(tree: ast.Module) -> dict[str, str]:
    """Map every imported name to what it stands for."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.asname or a.name: a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return names


def _full_name(node: ast.Name | ast.Attribute, names: Mapping[str, str]) -> str:
    first, dot, rest = ast.unparse(node).partition(".")
    return names.get(first, first) + dot + rest


def _is_broad(caught: ast.expr | None) -> bool:
    named = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(n is None or ast.unparse(n) in {"Exception", "BaseException"} for n in named)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _module_containers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        value = node.value
        makes = isinstance(value, ast.Call) and ast.unparse(value.func).split("[")[0].split(".")[-1] in _MAKES_MUTABLE
        if makes or isinstance(value, _MUTABLE):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((node.lineno, t.id) for t in targets if isinstance(t, ast.Name))


def _changed(node: ast.AST) -> str | None:
    """Return the name of what a node changes in place, if it does."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return ast.unparse(node.value)
    if isinstance(node, ast.AugAssign):
        return ast.unparse(node.target)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _MUTATES:
        return ast.unparse(node.func.value)
    return None


def _is_error(node: ast.AST, tree: ast.Module) -> bool:
    """Tell an error class by its bases, followed through the module up to those of kspace.errors."""
    if not isinstance(node, ast.ClassDef):
        return False
    own = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    return any(
        base in _ERRORS or (base in own and base != node.name and _is_error(own[base], tree))
        for base in map(ast.unparse, node.bases)
    )
