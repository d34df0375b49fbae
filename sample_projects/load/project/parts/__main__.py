import importlib
import sys

from parts.register import PARTS

for name in sorted(PARTS):
    print(name, importlib.import_module(f"parts.{name}").apply(int(sys.argv[1])))
