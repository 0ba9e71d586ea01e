"""The parts of Momentum Contrast for loops of one's own: what the rooms below have, with checked arguments.

Each is thin: it refuses what cannot be meant in one sentence that names the argument, and calls what `moco pretrain`
calls. `moco/__init__.py` gives them their public names; docs/library.md has a page on each.
"""
