"""Attacks in what the model is asked: normalised once, then read by rules and by a model, each text in its role."""
