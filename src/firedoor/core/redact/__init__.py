"""Files without the personal data in them, and with it again: text, CSV and JSON, piece by piece. Pure."""
