"""Digest of the code of a model's fit: all modules that the fit can reach, without comments and docstrings."""

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

OUR_PACKAGE = "aiops_assets"
NOT_FITTING = "aiops_assets.judging"
"""The package that judges fitted models. Families import it, but a fit does not run it."""


@cache
def code_digest(module: str) -> str:
    """Digest of a module and of all modules that it imports, directly or not, from this package and its own.

    A change of the code, also one that is not committed, must lead to a new fit; a changed comment must not. So the
    digest is of syntax trees without docstrings (and other statements that are only a string). It changes with the
    minor release of Python, whose trees differ, and not with the release of this package.

    Args:
        module: dotted name, e.g. of the module that defines a family.

    Returns:
        12 hexadecimal digits.
    """
    packages = frozenset({OUR_PACKAGE, module.partition(".")[0]})
    digest = hashlib.blake2b(digest_size=6)
    for name in sorted(reachable(module, packages)):
        digest.update(f"{name}\n{_tree(name).dump}\n".encode())
    return digest.hexdigest()


def code_of(family: object) -> str:
    """Digest of the code that a family's models come from."""
    return code_digest(type(family).__module__)


def reachable(module: str, packages: frozenset[str]) -> set[str]:
    """Names of the modules of ``packages`` that a module imports, directly or not, and its own name."""
    found: set[str] = set()
    ahead = [module]
    while ahead:
        name = ahead.pop()
        if name in found or f"{name}.".startswith(f"{NOT_FITTING}.") or _path(name) is None:
            continue
        found.add(name)
        ahead.extend(one for one in _tree(name).imports if one.partition(".")[0] in packages)
    # The package's ``__init__`` only holds the release number, which does not change a fit.
    return found - {OUR_PACKAGE}


class _Tree:
    """A parsed module.

    Attributes:
        dump: the syntax tree without docstrings, as text.
        imports: absolute names of imports, also of those inside functions; a name may be an attribute of a module.
    """

    def __init__(self, name: str, path: Path) -> None:
        tree = ast.parse(path.read_bytes())
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.imports = tuple(sorted(set(_imports(tree, package))))
        self.dump = ast.dump(_WithoutDocstrings().visit(tree))


class _WithoutDocstrings(ast.NodeTransformer):
    """Drops statements that are only a string; an emptied body keeps a ``pass``."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.body:
            node.body = [ast.Pass()]
        return node


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            above = above[: len(above) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            # Importing a module also runs the ``__init__`` of its packages.
            yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))


@cache
def _tree(name: str) -> _Tree:
    path = _path(name)
    assert path is not None
    return _Tree(name, path)


@cache
def _path(name: str) -> Path | None:
    """The file of a module, found beside its top-level package without importing anything; ``None``: there is none."""
    top, *rest = name.split(".")
    face = getattr(sys.modules.get(top), "__file__", None)
    if face is None:
        return None
    if Path(face).name != "__init__.py":
        return Path(face) if not rest else None
    inside = Path(face).parent.joinpath(*rest)
    return next((path for path in (inside / "__init__.py", inside.with_suffix(".py")) if path.is_file()), None)
