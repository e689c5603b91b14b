"""`python -m taskgen`."""

from taskgen.cli import main

main()
