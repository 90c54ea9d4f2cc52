"""The one switch between compiled modules and their uncompiled source.

``TAILRACE_PURE=1`` runs the source even where the compiled module is at hand; without a compiled
module the source runs anyway. `--version` reports which variant is in use.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType


def load(name: str) -> ModuleType:
    """Import the module `name` in the variant the environment asks for."""
    if os.environ.get("TAILRACE_PURE") != "1" or name in sys.modules:
        return importlib.import_module(name)
    package, _, stem = name.rpartition(".")
    folder = importlib.import_module(package).__path__[0]
    spec = importlib.util.spec_from_file_location(name, os.path.join(folder, f"{stem}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


load("tailrace._buffers")  # first, so that all others find this variant
