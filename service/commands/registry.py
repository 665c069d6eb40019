"""Which commands there are, in the order in which ``--help`` shows them."""

from __future__ import annotations

from typing import Final

from service.commands import calibrate, check, config, openapi, redrive, serve, submit, user, watch

COMMANDS: Final = (serve, check, config, submit, watch, redrive, user, calibrate, openapi)
