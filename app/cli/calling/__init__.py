"""Commands that call a running service, by its client: they know no row and no model."""
