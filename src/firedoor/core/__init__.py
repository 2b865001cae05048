"""Downstairs: decides, does nothing. Values in, values out."""
