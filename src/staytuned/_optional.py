"""The one door that knows about optional packages."""

import importlib
from types import ModuleType

from staytuned.errors import MissingExtra

_EXTRA_OF = {
    "psycopg": "postgres",
}


def need(module: str) -> ModuleType:
    """Import an optional module, or say which extra brings it.

    Raises:
        MissingExtra: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        extra = _EXTRA_OF.get(module.partition(".")[0])
        cure = f"pip install 'staytuned[{extra}]'" if extra else f"pip install {module}"
        raise MissingExtra(f"this needs the package {module!r}, which is not installed; try: {cure}") from problem
