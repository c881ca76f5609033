"""The web ACL before the API: it bounds what one address may send, and turns blocked and known-bad addresses away.

Not the AWS common rule set: its limit of 8 KB on a body would block most prompts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from shared import manifest

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW_S: Final = 300
KEYLESS_REQUESTS: Final = 1_500  # from one address in that time: a tenth of what all together may send to one such URL
BLOCKED_BODY: Final = "rate"
_ERROR: Final = {
    "type": "rate_limit_error",
    "message": "Too many requests from this address.",
    "code": "rate_limit_exceeded",
    "param": None,
}


class Firewall(Construct):
    """A regional web ACL of four rules, attached to one API stage.

    Its sets of blocked networks (by family, "4" and "6") begin empty. A function fills them from then on, and a
    deployment leaves what is in them alone unless it changes the sets themselves: then they are filled again.
    """

    def __init__(self, scope: Construct, *, stage_arn: str, requests_per_ip: int) -> None:
        """Attach it; `requests_per_ip` counts five minutes."""
        super().__init__(scope, "Firewall")
        self.ip_sets = {
            family: wafv2.CfnIPSet(
                self, f"Blocked{family}", scope="REGIONAL", ip_address_version=f"IPV{family}", addresses=[]
            )
            for family in ("4", "6")
        }
        body = wafv2.CfnWebACL.CustomResponseBodyProperty(
            content_type="APPLICATION_JSON", content=json.dumps({"type": "error", "error": _ERROR})
        )
        acl = wafv2.CfnWebACL(
            self,
            "Acl",
            scope="REGIONAL",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=_visible("Acl"),
            custom_response_bodies={BLOCKED_BODY: body},
            rules=[
                _blocked(self.ip_sets.values()),
                _known_bad_addresses(),
                _rate("RatePerAddress", 2, requests_per_ip),
                _rate("RateWithoutKey", 3, KEYLESS_REQUESTS, _keyless()),
            ],
        )
        wafv2.CfnWebACLAssociation(self, "Association", resource_arn=stage_arn, web_acl_arn=acl.attr_arn)


def _blocked(ip_sets: Iterable[wafv2.CfnIPSet]) -> wafv2.CfnWebACL.RuleProperty:
    """Turn networks away that an administrator has blocked; API Gateway words the refusal, as `WAF_FILTERED`."""
    references = [
        wafv2.CfnWebACL.StatementProperty(ip_set_reference_statement={"arn": ip_set.attr_arn}) for ip_set in ip_sets
    ]
    either = wafv2.CfnWebACL.OrStatementProperty(statements=references)
    return wafv2.CfnWebACL.RuleProperty(
        name="BlockedNetworks",
        priority=0,
        statement=wafv2.CfnWebACL.StatementProperty(or_statement=either),
        action=wafv2.CfnWebACL.RuleActionProperty(block={}),
        visibility_config=_visible("BlockedNetworks"),
    )


def _known_bad_addresses() -> wafv2.CfnWebACL.RuleProperty:
    group = wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
        vendor_name="AWS", name="AWSManagedRulesAmazonIpReputationList"
    )
    return wafv2.CfnWebACL.RuleProperty(
        name="KnownBadAddresses",
        priority=1,
        statement=wafv2.CfnWebACL.StatementProperty(managed_rule_group_statement=group),
        override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
        visibility_config=_visible("KnownBadAddresses"),
    )


def _keyless() -> wafv2.CfnWebACL.StatementProperty:
    """Match what is open to anyone: nobody shall use that up alone, and keep others from logging in."""
    paths = [
        wafv2.CfnWebACL.StatementProperty(
            byte_match_statement=wafv2.CfnWebACL.ByteMatchStatementProperty(
                search_string=route.path,
                field_to_match=wafv2.CfnWebACL.FieldToMatchProperty(uri_path={}),
                positional_constraint="ENDS_WITH",  # before it stands the stage
                text_transformations=[wafv2.CfnWebACL.TextTransformationProperty(priority=0, type="NONE")],
            )
        )
        for route in manifest.ROUTES
        if route.auth == "none"
    ]
    return wafv2.CfnWebACL.StatementProperty(or_statement=wafv2.CfnWebACL.OrStatementProperty(statements=paths))


def _rate(
    name: str, priority: int, limit: int, where: wafv2.CfnWebACL.StatementProperty | None = None
) -> wafv2.CfnWebACL.RuleProperty:
    per_address = wafv2.CfnWebACL.RateBasedStatementProperty(
        aggregate_key_type="IP", limit=limit, evaluation_window_sec=WINDOW_S, scope_down_statement=where
    )
    retry = wafv2.CfnWebACL.CustomHTTPHeaderProperty(name="retry-after", value=str(WINDOW_S))
    answer = wafv2.CfnWebACL.CustomResponseProperty(
        response_code=429, custom_response_body_key=BLOCKED_BODY, response_headers=[retry]
    )
    return wafv2.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        statement=wafv2.CfnWebACL.StatementProperty(rate_based_statement=per_address),
        action=wafv2.CfnWebACL.RuleActionProperty(block=wafv2.CfnWebACL.BlockActionProperty(custom_response=answer)),
        visibility_config=_visible(name),
    )


def _visible(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    """Count in CloudWatch, but keep no samples: they would hold clients' authorization headers."""
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False
    )
