"""Published studies that a run can be compared with, by name; nothing below knows any."""

from collections.abc import Mapping
from types import MappingProxyType

from pibed.studies.boards.study import Boards
from pibed.studies.pi.study import Pi
from pibed.studies.study import Shown, Study

STUDIES: Mapping[str, Study] = MappingProxyType({"pi": Pi(), "boards": Boards()})

__all__ = ["STUDIES", "Shown", "Study"]
