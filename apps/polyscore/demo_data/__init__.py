"""A short noisy recording for ``polyscore demo``; README.md says where it comes from."""
