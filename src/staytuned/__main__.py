"""``python -m staytuned``: the command line."""

from staytuned.cli import main

main()
