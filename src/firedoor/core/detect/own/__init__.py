"""Tier "own": the values that the shop told about its shopper. `finder.py` has the kinds of values."""

from firedoor.core.detect.own.finder import OwnValues

__all__ = ["OwnValues"]
