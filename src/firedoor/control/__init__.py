"""Use cases of the control process of a region."""
