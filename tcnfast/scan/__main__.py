import sys

from ..cli import main

sys.exit(main(["scan", *sys.argv[1:]]))
