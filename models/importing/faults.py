"""The one error of files that were written elsewhere."""


class CannotImport(ValueError):
    """A file of another program is not what can be read here; says what was expected and got."""
