"""Keys of a region: one root secret, and the purposes derived from it."""
