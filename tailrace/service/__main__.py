"""``python -m tailrace.service``: the same as the command ``tailrace``."""

from tailrace.service.cli import main

main()
