"""The web ACL before the API: it bounds what one address may send, and turns blocked and known-bad addresses away.

Not the AWS common rule set: its limit of 8 KB on a body would block most prompts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW_S: Final = 300
BLOCKED_BODY: Final = "rate"
_ERROR: Final = {
    "type": "rate_limit_error",
    "message": "Too many requests from this address.",
    "code": "rate_limit_exceeded",
    "param": None,
}


class Firewall(Construct):
    """A regional web ACL of three rules, attached to one API stage.

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
            rules=[_blocked(self.ip_sets.values()), _known_bad_addresses(), _rate(requests_per_ip)],
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


def _rate(limit: int) -> wafv2.CfnWebACL.RuleProperty:
    per_address = wafv2.CfnWebACL.RateBasedStatementProperty(
        aggregate_key_type="IP", limit=limit, evaluation_window_sec=WINDOW_S
    )
    retry = wafv2.CfnWebACL.CustomHTTPHeaderProperty(name="retry-after", value=str(WINDOW_S))
    answer = wafv2.CfnWebACL.CustomResponseProperty(
        response_code=429, custom_response_body_key=BLOCKED_BODY, response_headers=[retry]
    )
    return wafv2.CfnWebACL.RuleProperty(
        name="RatePerAddress",
        priority=2,
        statement=wafv2.CfnWebACL.StatementProperty(rate_based_statement=per_address),
        action=wafv2.CfnWebACL.RuleActionProperty(block=wafv2.CfnWebACL.BlockActionProperty(custom_response=answer)),
        visibility_config=_visible("RatePerAddress"),
    )


def _visible(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    """Count in CloudWatch, but keep no samples: they would hold clients' authorization headers."""
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False
    )
