"""What of the stack, and around it, a function may be granted, and what comes with each grant.

The manifest grants; a new kind of resource begins here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Resource = Literal[
    "apikey", "apikeys", "asyncanswers", "asyncbuckets", "asyncendpoints", "asyncrequests", "audit", "batchbucket",
    "batches", "batchfiles", "batchqueue", "bedrock", "directory", "enrolled", "ipsets", "journal", "ledger",
    "pepper", "plans", "providers", "sagemaker", "signing", "topic", "valkey",
]  # fmt: skip
SET_WITH_GRANT: Final[dict[Resource, tuple[str, ...]]] = {
    "apikey": (),  # each API key of the account: their ids are API Gateway's, so that no grant could name ours alone
    "apikeys": (),  # their list
    "asyncanswers": (),  # what is written by the endpoints that the catalog has at SageMaker to be asked by way of S3
    "asyncbuckets": (),  # the buckets of that: only who may list them is told what is not there yet
    "asyncendpoints": (),  # those endpoints
    "asyncrequests": (),  # what is laid down for them
    "audit": ("AUDIT_TABLE",),
    "batchbucket": (),  # only who may list it is told what is not there
    "batches": ("BATCHES_TABLE",),
    "batchfiles": ("BATCH_BUCKET",),  # what lies in the bucket
    "batchqueue": ("BATCH_QUEUE",),
    "bedrock": (),  # the models that the catalog has there
    "directory": ("DIRECTORY_TABLE",),
    "enrolled": (),  # each API key in one of our usage plans
    "ipsets": ("IP_SETS",),  # the networks that the firewall shuts out
    "journal": ("GATEWAY_LOG",),
    "ledger": ("LEDGER_TABLE",),
    "pepper": ("PEPPER_SECRET",),
    "plans": ("USAGE_PLANS",),  # the lists of API keys of our usage plans
    "providers": ("PROVIDERS_SECRET",),
    "sagemaker": (),  # the endpoints that the catalog has there
    "signing": ("SIGNING_SECRET",),
    "topic": ("OPERATORS_TOPIC",),
    "valkey": ("VALKEY_CACHE", "VALKEY_HOST", "VALKEY_PORT", "VALKEY_TLS", "VALKEY_USER"),
}
ENCRYPTED: Final[frozenset[Resource]] = frozenset({
    "audit", "batches", "batchfiles", "directory", "ledger", "pepper", "providers", "signing", "topic"
})  # fmt: skip
READING: Final = ("Get", "BatchGet", "Query", "Scan")
KEY_FOR_READING: Final = ("kms:Decrypt", "kms:DescribeKey")
KEY_FOR_WRITING: Final = (
    *KEY_FOR_READING,
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission to do `actions` (IAM names) on one `resource` of this stack."""

    resource: Resource
    actions: tuple[str, ...]

    @property
    def key_actions(self) -> tuple[str, ...]:
        """What the same call must be allowed to do with the key that encrypts the resource at rest."""
        if self.resource not in ENCRYPTED:
            return ()
        reads = all(action.partition(":")[2].startswith(READING) for action in self.actions)
        return KEY_FOR_READING if reads else KEY_FOR_WRITING
