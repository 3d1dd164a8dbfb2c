"""Every verb, from the shell."""

from staytuned.cli.verbs import app as app
from staytuned.cli.verbs import main as main
