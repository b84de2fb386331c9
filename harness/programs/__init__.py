"""Lock programs: from a file to a scenario on real threads.

`scenario` is the name that replay tokens refer to.
"""

from .format import scenario

__all__ = ["scenario"]
