"""Video with motion control: motion sources, noise that follows them, models that obey it."""
