"""Errors that a person can act on: one sentence that names the file, line, key or value, and what to do."""


class UserError(ValueError):
    """Base of all errors caused by input; command lines print it without a traceback and exit with status 1."""


class DataError(UserError):
    """A data file, or the interactions read from it, cannot be used."""


class ConfigError(UserError):
    """A config key or value cannot be used."""


class TrainingError(UserError):
    """Training cannot go on, for example because the loss is not a number."""
