"""Speech and audio: enhancement by predictors, diffusion models and bridges."""
