"""Lets PyPI's torchvision, which is built for CUDA, be imported beside a torch for CPUs; else nothing.

Its compiled part cannot load there, and its import fails at the names of two operators. Declaring them is all that
MONAI Label needs, which uses torchvision's transforms. Python imports this module at its start where the folder is on
PYTHONPATH; what the server starts inherits it.
"""

import importlib.abc
import sys


class DeclareOperators(importlib.abc.MetaPathFinder):
    declared = None  # must live as long as the process

    def find_spec(self, name, path=None, target=None):
        if name != "torchvision":
            return None
        sys.meta_path.remove(self)
        from torch import library, version

        if version.cuda is None:
            DeclareOperators.declared = library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                self.declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return None


sys.meta_path.insert(0, DeclareOperators())
