"""`python -m segwatch` is `segwatch`."""

from segwatch.cli import main

main()
