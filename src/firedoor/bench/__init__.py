"""Benchmarks: what the gateway costs, measured beside the same calls made directly."""
