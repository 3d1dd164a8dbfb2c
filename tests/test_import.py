"""The shop window opens at once and holds what its label says."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import staytuned
from staytuned import errors
from staytuned.errors import StayTunedError

HEAVY = ("pandas", "sklearn", "scipy", "matplotlib", "sqlalchemy", "lightgbm", "rich", "typer")
GROUND = ("errors", "_random", "space.dims", "space.space", "space.codec", "space.door", "space.branches", "trial", "goal", "protocols")


def _loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_import_loads_nothing_heavy() -> None:
    loaded = _loaded_by("import staytuned")
    assert "staytuned" in loaded
    assert not loaded & {*HEAVY, "numpy"}


def test_the_ground_floor_loads_nothing_heavy() -> None:
    loaded = _loaded_by("\n".join(f"import staytuned.{module}" for module in GROUND))
    assert "numpy" in loaded
    assert not loaded & set(HEAVY)


def test_a_study_in_memory_loads_no_tables_and_no_database() -> None:
    loaded = _loaded_by(
        "import staytuned as st\nstudy = st.Study(space={'x': st.Float(0, 1)}, sampler='random', seed=0)\nstudy.optimize(lambda t: t.config['x'], trials=3)"
    )
    assert not loaded & {"pandas", "sklearn", "matplotlib", "sqlalchemy", "lightgbm", "rich", "typer"}


@pytest.mark.parametrize("name", staytuned.__all__)
def test_every_name_resolves(name: str) -> None:
    assert getattr(staytuned, name) is not None
    assert name in dir(staytuned)


def test_the_stub_says_the_same() -> None:
    tree = ast.parse((Path(staytuned.__file__).parent / "__init__.pyi").read_text())
    homes = {alias.asname: (node.module, alias.name) for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    version = {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    assert set(homes) | version == set(staytuned.__all__)
    for name, (module, original) in homes.items():
        assert name == original
        assert getattr(importlib.import_module(str(module)), original) is getattr(staytuned, name)


def test_an_unknown_name_is_quoted() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Stduy'; it has Float"):
        _ = staytuned.Stduy  # type: ignore[attr-defined]


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = {line.lstrip("│├└─ ").split()[0] for line in (errors.__doc__ or "").splitlines() if line.strip() and line.lstrip("│├└─ ")[:1].isupper()}
    defined = {name for name, thing in vars(errors).items() if inspect.isclass(thing) and issubclass(thing, StayTunedError)}
    assert defined <= drawn
    assert all(vars(errors)[name].__doc__ for name in defined)
