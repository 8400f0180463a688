"""``python -m nodrop``."""

from nodrop.cli.main import main

main()
