"""Models that run inside Firedoor's own processes: loads their weights and hands detectors the numbers."""
