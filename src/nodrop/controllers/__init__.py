"""Controllers: a folder each, pure ``decide``; ``loop.py`` is the only shell."""
