"""Tier "rule": what a form, a checksum or a word before it gives away. `tier.py` has the order of things."""

from firedoor.core.detect.rules.tier import Rules

__all__ = ["Rules"]
