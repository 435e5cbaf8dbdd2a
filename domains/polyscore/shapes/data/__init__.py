"""Data of shapes: procedural solids and their views, random compositions and partial pairs for registration."""
