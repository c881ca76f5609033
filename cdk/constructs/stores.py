"""What outlives every deployment: directory, ledger, audit log, the secrets, and the key that encrypts them."""

from __future__ import annotations

from typing import Final

from aws_cdk import RemovalPolicy, SecretValue
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk.constructs.excuses import excuse

EXCUSED: Final = {
    "AwsSolutions-SMG4": (
        "The pepper cannot rotate on its own: each stored key hash was made with it, a new one locks every client out. "
        "The seed of the signing keys rotates by an operator's hand, with its predecessor kept beside it for an hour. "
        "The providers' secret holds other companies' keys, which only their owner can renew, by writing a new value."
    ),
}


class Stores(Construct):
    """The durable stores, under one customer managed key."""

    def __init__(self, scope: Construct, *, retain: bool) -> None:
        """Build them; `retain` keeps them when the stack is deleted."""
        super().__init__(scope, "Stores")
        self._removal = RemovalPolicy.RETAIN if retain else RemovalPolicy.DESTROY
        self.key = kms.Key(
            self,
            "Key",
            description="Encrypts the AI-Nexus directory, secrets and store at rest",
            enable_key_rotation=True,
            removal_policy=self._removal,
        )
        self.directory = self._table("Directory", protected=retain, forgets="forget_at")
        self.ledger = self._table("Ledger", protected=retain, forgets="expires_at")
        self.audit = self._table("Audit", protected=retain)
        self.batches = self._table("Batches", protected=retain, forgets="expires_at")
        self.pepper = self._secret(
            "Pepper",
            "Keys the hashes of the clients' API keys",
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
        )
        self.providers = self._secret(
            "Providers",
            'Provider credentials, one JSON object: {"OPENAI_API_KEY": "...", "GPU_SERVICE_TOKEN": "..."}',
            secret_string_value=SecretValue.unsafe_plain_text("{}"),  # empty: the operator fills it after deployment
        )
        self.signing = self._secret(
            "Signing",
            'Seeds of the keys that sign tokens: {"current": "...", "previous": "..." or ""}',
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template='{"previous":""}',  # noqa: S106 - there is none before the first
                generate_string_key="current",
                password_length=64,
                exclude_punctuation=True,
            ),
        )
        excuse(self, EXCUSED)

    def _table(self, name: str, *, protected: bool, forgets: str | None = None) -> dynamodb.Table:
        """Build a table, whose items go at the epoch second in their attribute `forgets`.

        Not as TableV2, which cannot have its own key before the region is known.
        """
        text = dynamodb.AttributeType.STRING
        recovery = dynamodb.PointInTimeRecoverySpecification(point_in_time_recovery_enabled=True)
        return dynamodb.Table(
            self,
            name,
            partition_key=dynamodb.Attribute(name="pk", type=text),
            sort_key=dynamodb.Attribute(name="sk", type=text),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            point_in_time_recovery_specification=recovery,
            time_to_live_attribute=forgets,
            deletion_protection=protected,
            removal_policy=self._removal,
        )

    def _secret(
        self,
        name: str,
        description: str,
        *,
        generate_secret_string: secretsmanager.SecretStringGenerator | None = None,
        secret_string_value: SecretValue | None = None,
    ) -> secretsmanager.Secret:
        return secretsmanager.Secret(
            self,
            name,
            description=description,
            encryption_key=self.key,
            generate_secret_string=generate_secret_string,
            secret_string_value=secret_string_value,
            removal_policy=self._removal,
        )
