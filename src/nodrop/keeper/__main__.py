"""Entry of the keeper's process: ``python -I -S …/nodrop/keeper/__main__.py``.

Run by path, without site-packages. A bare package stands in for ``nodrop``, so that nothing but
this folder is imported: the keeper stays small and does not depend on what is installed later.
"""

import sys

if "nodrop" not in sys.modules:
    package = type(sys)("nodrop")
    package.__path__ = [__file__.rsplit("/", 2)[0]]
    sys.modules["nodrop"] = package

from nodrop.keeper.daemon import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
