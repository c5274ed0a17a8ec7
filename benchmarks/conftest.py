"""Doctests of what needs PyTorch are not collected where there is none."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["torch_*.py"]
