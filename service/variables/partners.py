"""Whom the service relies on: who signs people in, and Gemini."""

from __future__ import annotations

import re

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from service.variables.kinds import LOOPBACK_NAMES, Group, WebAddress, mistake


class SignIn(Group):
    """Whose tokens are accepted, and where people get them."""

    heading = "Sign-in"

    cognito_user_pool_id: str = Field(
        description="The Cognito user pool whose tokens are accepted.", examples=["ap-northeast-2_AbCdEfGhI"]
    )
    cognito_client_id: str = Field(
        description="The client of that pool whose tokens are accepted.", examples=["1h57kf5cpq17m0eml12EXAMPLE"]
    )
    token_issuer: WebAddress = Field(
        default="", description="Who signs the tokens, where that is not AWS's own name of the pool."
    )
    token_jwks_url: WebAddress = Field(
        default="", description="The address of the issuer's public keys, where that is not the issuer's usual one."
    )
    cognito_domain: str = Field(
        default="",
        description="The address of the pool's own sign-in page, https://…; without it the page offers no sign-in but a "
        "token pasted by hand. See docs/sign-in.md.",
    )
    cognito_identity_provider: str = Field(
        default="",
        description="The provider that the sign-in page leads to at once, such as Google; without it, its chooser is shown.",
    )

    @field_validator("cognito_domain")
    @classmethod
    def _check_domain(cls, url: str) -> str:
        # Codes and tokens go there, and it stands in the page's policy. A sign-in page of this very machine is one of a test.
        loopback = "|".join(LOOPBACK_NAMES)
        if url and not re.fullmatch(rf"(https://[a-z0-9.-]+|http://({loopback}))(:\d+)?/?", url):
            raise ValueError(
                "must be an https address and no more, like https://photos.auth.eu-west-1.amazoncognito.com"
            )
        return url.removesuffix("/")


class Gemini(Group):
    """The key, the models and what they may cost."""

    heading = "Gemini"

    gemini_api_key: SecretStr | None = Field(
        default=None, description="The Gemini key itself; it wins over the secret, and one of the two is needed."
    )
    gemini_api_key_secret_arn: str | None = Field(
        default=None,
        validate_default=True,
        description="The ARN of a secret that holds the Gemini key, read anew every five minutes.",
    )
    model_name: str = Field(default="gemini-nano-banana-2.1", description="The model that makes pictures.")
    vision_model_name: str = Field(
        default="gemini-3.5-flash-lite", description="The model that looks at photos and reads texts."
    )
    embedding_model_name: str = Field(
        default="gemini-embedding-2", description="The model that tells how alike two pictures are."
    )
    gemini_timeout_seconds: float = Field(default=120, gt=0, description="The longest call of Gemini, in seconds.")
    gemini_base_url: WebAddress | None = Field(
        default=None, description="The address of another server than Google's that speaks Gemini's protocol."
    )
    daily_spend_limit_usd: float | None = Field(
        default=None,
        gt=0,
        description="What all tasks together may spend on Gemini in a UTC day, in US dollars by our price list; then no job "
        "is fetched until midnight UTC.",
    )

    @field_validator("gemini_api_key_secret_arn")
    @classmethod
    def _check_key(cls, arn: str | None, before: ValidationInfo) -> str | None:
        if not arn and not before.data.get("gemini_api_key", True):
            raise mistake("GEMINI_API_KEY or GEMINI_API_KEY_SECRET_ARN is missing")
        return arn
