"""Published studies that a run can be compared with; nothing below knows any."""
