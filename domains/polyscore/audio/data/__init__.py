"""Training data for speech: sources of clean speech and noise, and mixtures of them made on the fly."""
