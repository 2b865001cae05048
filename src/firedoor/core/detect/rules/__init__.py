"""Tier "rule": what a form, a checksum or a word before it gives away. `tier.py` has the order of things."""
