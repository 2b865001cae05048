"""Detectors: personal data in requests, protected values in answers."""
