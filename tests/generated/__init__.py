"""A client that somebody else's generator makes of the committed OpenAPI document."""
