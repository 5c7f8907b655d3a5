"""Tenants that have a meaning of their own: ``default`` where no keys are used; ``shared`` owns the
shipped checkpoints.
"""

from typing import Final

DEFAULT: Final = "default"
SHARED: Final = "shared"
