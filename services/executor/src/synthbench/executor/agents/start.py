"""Runs inside a sandbox: `start.py SITE MODULE ARGUMENTS`, a module of an agent's environment as a program.

What it starts finds nothing of that environment: no variable of its own is left behind.
"""

import os
import runpy
import sys

os.environ.pop("LD_LIBRARY_PATH", None)
_, site, module, *arguments = sys.argv
sys.path.insert(0, site)
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
