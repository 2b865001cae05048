"""The demonstration: `firedoor demo`."""
