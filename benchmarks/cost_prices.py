"""What AWS asks, in US dollars: from memory, November 2026, to be checked against the price list before a budget rests on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

REGIONS: Final = ("us-east-1", "ap-northeast-2")
HOURS: Final = 730
"""Of a month, as AWS counts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What ``of`` costs in each of ``REGIONS``; ``free`` of it cost nothing in a month, in an account that has nothing else."""

    of: str
    usd: tuple[float, float]
    free: float = 0


def _p(of: str, virginia: float, seoul: float, free: float = 0) -> Price:
    return Price(of=of, usd=(virginia, seoul), free=free)


PRICES: Final[Mapping[str, Price]] = {
    "vcpu": _p("Fargate arm64, a vCPU for an hour", 0.03238, 0.03725),
    "memory": _p("Fargate arm64, a GB for an hour", 0.00356, 0.00409),
    "spot": _p("Fargate Spot, share of that price (it moves)", 0.30, 0.30),
    "alb": _p("ALB, an hour", 0.0225, 0.0225),
    "lcu": _p("ALB, a capacity unit (LCU) for an hour", 0.008, 0.008),
    "ipv4": _p("a public IPv4 address for an hour", 0.005, 0.005),
    "writes": _p("DynamoDB on demand, a million write units", 0.625, 0.678),
    "reads": _p("DynamoDB on demand, a million read units", 0.125, 0.1355),
    "rows": _p("DynamoDB, a GB for a month", 0.25, 0.271, 25),
    "backup": _p("DynamoDB, point-in-time recovery of a GB for a month", 0.20, 0.228),
    "queue": _p("SQS, a million requests", 0.40, 0.40, 1),
    "puts": _p("S3, a thousand PUTs", 0.005, 0.0045),
    "gets": _p("S3, a thousand GETs", 0.0004, 0.00035),
    "files": _p("S3, a GB for a month", 0.023, 0.025),
    "out": _p("a GB out to the Internet", 0.09, 0.126, 100),
    "logs": _p("CloudWatch Logs, a GB taken in", 0.50, 0.76, 5),
    "metrics": _p("CloudWatch, a custom metric for a month", 0.30, 0.30, 10),
    "alarms": _p("CloudWatch, a metric that an alarm looks at, a month", 0.10, 0.10, 10),
    "dashboards": _p("CloudWatch, a dashboard for a month", 3.00, 3.00, 3),
    "secrets": _p("Secrets Manager, a secret for a month", 0.40, 0.40),
    "secret reads": _p("Secrets Manager, ten thousand reads", 0.05, 0.05),
    "keys": _p("KMS, ten thousand requests (AWS's own key of DynamoDB)", 0.03, 0.03, 2),
    "images": _p("ECR, a GB for a month", 0.10, 0.10),
    "zone": _p("Route 53, a hosted zone for a month", 0.50, 0.50),
    "sign-ins": _p("Cognito Essentials, a user active in a month", 0.015, 0.015, 10_000),
    "cache micro": _p("ElastiCache for Valkey, cache.t4g.micro for an hour", 0.0128, 0.0192),
    "cache small": _p("ElastiCache for Valkey, cache.t4g.small for an hour", 0.0256, 0.0384),
    "nat": _p("a NAT gateway for an hour, before its GB (not used here)", 0.045, 0.059),
    "gateway": _p("API Gateway, HTTP API, a million requests", 1.00, 1.23),
    "calls": _p("Lambda, a million calls", 0.20, 0.20, 1),
    "seconds": _p("Lambda arm64, a million GB seconds", 13.3334, 13.3334, 0.4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The prices of one region, with or without what is free each month."""

    region: str = REGIONS[0]
    has_free: bool = True

    def cost(self, name: str, amount: float) -> float:
        """Return what so much of something costs in a month."""
        price = PRICES[name]
        billed = max(0.0, amount - price.free) if self.has_free else amount
        return billed * price.usd[REGIONS.index(self.region)]
