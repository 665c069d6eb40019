"""What a socket may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketLimits:
    """Every bound of the push floor; tests lower them."""

    outbox_frames: int = 256
    outbox_bytes: int = 256 * 1024
    unread_bytes: int = 16 * 1024
    inbound_bytes: int = 16 * 1024
    inbound_frames_per_second: int = 20
    connections_per_user: int = 20
    connections_per_task: int = 10_000
    strangers_per_task: int = 1000
    undelivered_notices: int = 10_000
    snapshot_jobs: int = 50
    recovered_events: int = 1000
    recoveries_at_once: int = 32
    healing_reads_per_second: int = 300
    healing_reads_at_once: int = 16
    quota_reads_at_once: int = 16
    cancels_at_once: int = 4
    reconnects_per_second: int = 1000

    hello_seconds: float = 5
    authenticate_seconds: float = 10
    cancel_seconds: float = 15
    snapshot_seconds: float = 15
    recovery_seconds: float = 30
    turn_seconds: float = 0.005
    write_seconds: float = 10
    write_check_seconds: float = 1
    protocol_ping_seconds: float = 25
    ping_message_seconds: float = 25
    expiring_token_seconds: float = 60
    expired_token_seconds: float = 30
    healing_seconds: float = 3
    healing_read_seconds: float = 3
    resume_pause_seconds: float = 0.2
    quota_seconds: float = 1
    quota_read_seconds: float = 3
    blocked_seconds: float = 3
    blocked_read_seconds: float = 3
    reconnect_spread_seconds: float = 3
    most_reconnect_spread_seconds: float = 5
    reconnect_grace_seconds: float = 2
    drain_seconds: float = 3
    close_seconds: float = 2

    @property
    def leaving_seconds(self) -> float:
        """What the hub's close takes at the most: telling, asking everybody to go, and closing those that have not."""
        asking = self.most_reconnect_spread_seconds + self.reconnect_grace_seconds
        return self.drain_seconds + asking + self.drain_seconds + self.close_seconds + 1

    def asks_for_token_at(self, expires_at: float, now: float) -> float:
        """Return when to ask for a fresh token, in seconds since the epoch, as are the token's end and ``now``.

        ``expiring_token_seconds`` ahead, but not before half of what is left: a client whose fresh tokens live no longer than
        that would be asked over and over.
        """
        return max(expires_at - self.expiring_token_seconds, (expires_at + now) / 2)
