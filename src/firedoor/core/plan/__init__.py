"""The emergency plan: model, decoding, checks, look-ups."""
