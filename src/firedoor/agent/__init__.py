"""What one host needs once: the switch page."""
