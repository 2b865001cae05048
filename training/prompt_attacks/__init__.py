"""Data, training, calibration and figures of the model of attacks."""
