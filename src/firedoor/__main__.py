"""``python -m firedoor`` is the command line."""

from firedoor.cli.main import main

main()
