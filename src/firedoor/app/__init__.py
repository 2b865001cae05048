"""The one place that builds adapters and introduces the rooms to each other."""
