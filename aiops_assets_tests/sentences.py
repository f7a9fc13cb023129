"""Which tests hang on wording: the test functions that assert on, or match, a sentence.

A sentence is a string with four words or more. It counts where it stands in an ``assert`` or a ``match=``, and also
where it comes there through a local name, a constant of a test module, a parameter, or a helper that asserts.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent
MIN_WORDS = 4
WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
AROUND_WORDS = "`'\"()[]{}.,:;!?^$*\\"
PASSES_ON = {
    *("all", "any", "dict", "frozenset", "list", "repr", "set", "sorted", "str", "sum", "tuple", "zip", "next"),
    *("count", "endswith", "escape", "find", "fullmatch", "index", "issubset", "items", "join", "match", "partition"),
    *("replace", "rpartition", "search", "split", "startswith", "findall", "approx", "values", "format", "lower"),
}
"""Calls whose arguments are still what is asserted on; those of any other function are only what it is given."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_sentence(text: str) -> bool:
    """Whether a text has four words; paths, queries and identifiers are none."""
    words = [token.strip(AROUND_WORDS) for token in re.split(r"\s+|\\s\+?", text)]
    return sum(bool(WORD.fullmatch(word)) for word in words) >= MIN_WORDS


@dataclass
class Module:
    """A parsed test module: its constants, its functions, and where imported names come from."""

    path: Path
    constants: dict[str, ast.expr] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    imported: dict[str, tuple[Path, str]] = field(default_factory=dict)


@cache
def module_at(path: Path) -> Module:
    """Parse a test module once."""
    module, tree = Module(path), ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, Function):
            module.functions[node.name] = node
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{ROOT.name}."):
            file = ROOT.parent / f"{(node.module or '').replace('.', '/')}.py"
            if file.exists():
                module.imported |= {alias.asname or alias.name: (file, alias.name) for alias in node.names}
    for statement in tree.body:
        module.constants |= dict(_assigned(statement))
    return module


@dataclass
class Scope:
    """What the names of a function stand for: its parameters and locals, then its module's constants."""

    module: Module
    names: dict[str, list[ast.expr]]

    @classmethod
    def of(cls, module: Module, function: Function) -> "Scope":
        """The scope of a test or helper, with the values that parametrize gives."""
        names: dict[str, list[ast.expr]] = {}
        for decorator in function.decorator_list:
            for name, value in _parametrized(module, decorator):
                names.setdefault(name, []).append(value)
        for node in ast.walk(function):
            for name, value in _assigned(node):
                names.setdefault(name, []).append(value)
        return cls(module, names)

    def resolve(self, name: str) -> list[tuple["Scope", ast.expr]]:
        """The expressions that a name may stand for, each with the scope to read it in."""
        if name in self.names:
            return [(self, value) for value in self.names[name]]
        return [
            (Scope(module_at(path), {}), module_at(path).constants[original])
            for path, original in [self.module.imported.get(name, (self.module.path, name))]
            if original in module_at(path).constants
        ]

    def sentences(self, node: ast.AST, seen: frozenset[str] = frozenset()) -> Iterator[str]:
        """The sentences in an expression, also behind its names."""
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and is_sentence(node.value):
                yield node.value
        elif isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "" for part in node.values)
            if is_sentence(text):
                yield text
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    yield from self.sentences(part.value, seen)
        elif isinstance(node, ast.Name):
            if node.id not in seen:
                for scope, value in self.resolve(node.id):
                    yield from scope.sentences(value, seen | {node.id})
        elif isinstance(node, ast.Dict):
            for value in node.values:
                yield from self.sentences(value, seen)
        elif isinstance(node, ast.Subscript):
            yield from self.sentences(node.value, seen)
        elif isinstance(node, ast.Lambda | ast.Attribute):
            pass
        elif isinstance(node, ast.Call):
            yield from self._of_call(node, seen)
        else:
            for child in ast.iter_child_nodes(node):
                yield from self.sentences(child, seen)

    def _of_call(self, node: ast.Call, seen: frozenset[str]) -> Iterator[str]:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if isinstance(node.func, ast.Attribute):
            yield from self.sentences(node.func.value, seen)
        if name in PASSES_ON:
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                yield from self.sentences(argument, seen)


def asserted(module: Module, function: Function, depth: int = 2) -> Iterator[str]:
    """The sentences that a function asserts on, itself or in the helpers that it calls."""
    scope = Scope.of(module, function)
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            yield from scope.sentences(node.test)
        elif isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == "match":
                    yield from scope.sentences(keyword.value)
            if isinstance(node.func, ast.Name) and depth:
                path, name = module.imported.get(node.func.id, (module.path, node.func.id))
                helper = module_at(path).functions.get(name)
                if helper and helper is not function and not name.startswith("test_"):
                    yield from asserted(module_at(path), helper, depth - 1)
                    if _asserts_on_parameters(helper):
                        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                            yield from scope.sentences(argument)


def sentences_by_test(path: Path) -> dict[str, list[str]]:
    """Each test function of a module, and the sentences that it asserts on."""
    module = module_at(path)
    tests = [function for name, function in module.functions.items() if name.startswith("test_")]
    return {test.name: list(dict.fromkeys(asserted(module, test))) for test in tests}


def _asserts_on_parameters(helper: Function) -> bool:
    """Whether a helper asserts on, or matches, something that it is given."""
    given = {argument.arg for argument in [*helper.args.args, *helper.args.kwonlyargs, *helper.args.posonlyargs]}
    checks: list[ast.AST] = []
    for node in ast.walk(helper):
        if isinstance(node, ast.Assert):
            checks.append(node.test)
        elif isinstance(node, ast.Call):
            checks += [keyword.value for keyword in node.keywords if keyword.arg == "match"]
    return any(isinstance(leaf, ast.Name) and leaf.id in given for check in checks for leaf in ast.walk(check))


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names that a statement gives a value to, with the value (of a loop: what it runs over)."""
    targets: list[ast.expr] = []
    value: ast.expr | None = None
    if isinstance(node, ast.Assign):
        targets, value = node.targets, node.value
    elif isinstance(node, ast.AnnAssign):
        targets, value = [node.target], node.value
    elif isinstance(node, ast.For | ast.comprehension):
        targets, value = [node.target], node.iter
    if value is not None:
        for target in targets:
            for leaf in ast.walk(target):
                if isinstance(leaf, ast.Name):
                    yield leaf.id, value


def _parametrized(module: Module, decorator: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Parameter and each of its values, from ``@pytest.mark.parametrize``."""
    if not (isinstance(decorator, ast.Call) and getattr(decorator.func, "attr", "") == "parametrize"):
        return
    if len(decorator.args) < 2:
        return
    given, cases = decorator.args[:2]
    names = (
        [name.strip() for name in str(given.value).split(",")]
        if isinstance(given, ast.Constant)
        else [str(name.value) for name in getattr(given, "elts", []) if isinstance(name, ast.Constant)]
    )
    if isinstance(cases, ast.Name):
        path, original = module.imported.get(cases.id, (module.path, cases.id))
        cases = module_at(path).constants.get(original, cases)
    for case in cases.keys if isinstance(cases, ast.Dict) else getattr(cases, "elts", [cases]):
        if isinstance(case, ast.Call) and getattr(case.func, "attr", "") == "param":
            case = ast.Tuple(elts=case.args)
            case = case.elts[0] if len(names) == 1 else case
        if case is None:
            continue
        values = getattr(case, "elts", None)
        if len(names) == 1:
            yield names[0], case
        elif values and len(values) == len(names):
            yield from zip(names, values, strict=True)
        else:
            yield from ((name, case) for name in names)
