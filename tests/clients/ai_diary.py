"""AI Diary's main API, which hands over the text of an entry in its writer's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.clients.replies import Reply, call


@dataclass(frozen=True, slots=True, kw_only=True)
class AIDiary:
    """``token`` is the writer's; without one it is left out."""

    url: str
    token: str = ""

    async def write(self, text: str, *, prefer: str = "", **more: Any) -> Reply:
        """Hand an entry over; ``prefer`` says how long to wait for what it says, ``more`` are the date and the style."""
        headers = {"Prefer": prefer} if prefer else {}
        return await call("POST", f"{self.url}/diary", json={"text": text, **more}, headers=headers | self._bearer)

    async def job(self, job_id: str) -> Reply:
        """Look how far an entry is."""
        return await call("GET", f"{self.url}/jobs/{job_id}", headers=self._bearer)

    @property
    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}
