"""CloudFront before the service: what it hands on, and that the page's files are as well protected as at the service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from deploy.release.parts import CHECKOUT
from deploy.templates import load_template
from service import headers

TEMPLATE: Final = CHECKOUT / "deploy" / "page.yaml"
RESOURCES: Final[dict[str, Any]] = load_template(TEMPLATE)["Resources"]
DISTRIBUTION: Final[dict[str, Any]] = RESOURCES["Distribution"]["Properties"]["DistributionConfig"]


def test_the_template_passes_cfn_lint() -> None:
    """AWS would take it as it stands."""
    lint = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), TEMPLATE], capture_output=True, text=True, timeout=50, check=False
    )

    assert (0, "") == (lint.returncode, lint.stdout)


def test_files_have_the_headers_of_the_service() -> None:
    """Whoever changes them there changes them here."""
    config = RESOURCES["PageHeaders"]["Properties"]["ResponseHeadersPolicyConfig"]
    secure = config["SecurityHeadersConfig"]
    told = {item["Header"]: item["Value"] for item in config["CustomHeadersConfig"]["Items"]} | {
        "X-Content-Type-Options": "nosniff",  # it has no other value
        "X-Frame-Options": secure["FrameOptions"]["FrameOption"],
        "Referrer-Policy": secure["ReferrerPolicy"]["ReferrerPolicy"],
    }

    assert headers._FOR_ALL == told
    assert headers._DATA_POLICY == secure["ContentSecurityPolicy"]["ContentSecurityPolicy"]
    assert "31536000" == str(secure["StrictTransportSecurity"]["AccessControlMaxAgeSec"])


def test_only_files_are_cached() -> None:
    """All else goes to the service with everything that a caller says, and no answer is kept."""
    (files,) = DISTRIBUTION["CacheBehaviors"]
    rest = DISTRIBUTION["DefaultCacheBehavior"]

    assert ("/page/*", "page", "service") == (files["PathPattern"], files["TargetOriginId"], rest["TargetOriginId"])
    assert {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"} == set(rest["AllowedMethods"])
    assert ["redirect-to-https"] * 2 == [files["ViewerProtocolPolicy"], rest["ViewerProtocolPolicy"]]


def test_the_bucket_is_read_by_this_distribution_alone() -> None:
    """Nobody reads it by its own address, and CloudFront only for us."""
    bucket = RESOURCES["PageBucket"]["Properties"]
    _, reading = RESOURCES["PageBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]

    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert {"Service": "cloudfront.amazonaws.com"} == reading["Principal"]
    assert "aws:SourceArn" in reading["Condition"]["StringEquals"]
