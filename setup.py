"""Builds the compiled modules. Without a compiler or Python's headers their source runs instead."""

import sys
from pathlib import Path

from setuptools import Extension, setup

MODULES = [
    "tailrace/_buffers.py",
    "cdc/_columns.py",
    "cdc/postgres/_pgoutput.py",
    "cdc/postgres/_copyrows.py",
    "cdc/mysql/_shortest.py",
    "cdc/mysql/_rows.py",
    "sinks/_jsontext.py",
    "sinks/_rowtext.py",
    "tailrace/kafka/_batches.py",
]


def extensions() -> list[Extension]:
    from Cython.Build import cythonize

    made: list[Extension] = cythonize(
        [
            Extension(
                path.removesuffix(".py").replace("/", "."),
                [path],
                extra_compile_args=["-O3"] if sys.platform != "win32" else [],
                optional=True,
            )
            for path in MODULES
            if Path(path).exists()
        ],
        language_level=3,
    )
    return made


setup(ext_modules=extensions())
