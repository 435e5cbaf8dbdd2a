"""Symbolic music: scores, token grids, masked discrete diffusion of tracks from tracks."""
