"""Known misconceptions, exercise by exercise, as behaviour that can be compared with a student's.

Every module of this package registers the misconceptions of one problem; they are found without a list.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
