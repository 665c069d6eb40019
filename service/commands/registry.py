"""Which commands there are, in the order in which ``--help`` shows them."""

from __future__ import annotations

from typing import Final

from service.commands import calibrate, check, config, migrate, openapi, redrive, serve, smoke, submit, user, watch

COMMANDS: Final = (serve, check, smoke, config, submit, watch, redrive, user, migrate, calibrate, openapi)
