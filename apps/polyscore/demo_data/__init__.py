"""A noisy recording, a painted digit and a scene for ``polyscore demo``; README.md says where it comes from."""
