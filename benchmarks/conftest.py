"""Without PyTorch, the doctests of modules that need it are not collected."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["*/torch_*.py"]
