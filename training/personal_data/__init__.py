"""The classifier of personal data: texts, training, measuring, export."""
