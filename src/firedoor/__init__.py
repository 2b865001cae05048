"""Firedoor: the emergency plan of an online shop for leaks through its language models, as running software."""
