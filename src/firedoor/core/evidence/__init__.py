"""Evidence: records, their leaves and frames, the chain of a slot, sealing."""
