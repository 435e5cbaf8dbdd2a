"""The few exceptions a user can cause. Each message names the thing, what was found, what was expected, and what to do."""

__all__ = ["CheckpointError", "ConfigError", "InputError", "MissingExtraError", "PolyscoreError"]


class PolyscoreError(Exception):
    """Base of everything polyscore raises for what a user can cause."""


class InputError(PolyscoreError, ValueError):
    """An argument, a file or an array that cannot be used as it is."""


class CheckpointError(PolyscoreError):
    """A checkpoint that is missing, damaged, unsafe or of an unknown kind."""


class ConfigError(PolyscoreError):
    """A configuration with an unknown key, class path or value."""


class MissingExtraError(PolyscoreError, ImportError):
    """An optional dependency is absent; the message gives the pip command."""
