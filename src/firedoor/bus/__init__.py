"""Switch tables and nudges on the move."""
