"""The gateway as data: its functions, what each may touch, the URLs that reach them, and the tiers' usage plans.

CDK builds from these lines and from nothing else, and tests hold the template to them. A new Lambda, a new route or a
new permission begins here; nothing in `cdk/` names an action or a path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from shared.grants import SET_WITH_GRANT, Grant

if TYPE_CHECKING:
    from shared.core.principals import Action

Bundle = Literal["hot", "control"]
Auth = Literal["key", "none"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

ALWAYS_SET: Final = (
    "AWS_LAMBDA_EXEC_WRAPPER",
    "POWERTOOLS_METRICS_NAMESPACE",
    "POWERTOOLS_SERVICE_NAME",
    "STAGE",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One Lambda function.

    Attributes:
        handler: Import path of the callable that the runtime loop calls.
        bundle: Whose dependencies it is zipped with: `hot` is the lean data plane, `control` has boto3 and pydantic.
        memory_mb: Also sets the share of a CPU: 1,769 MB is one whole vCPU.
        timeout_s: Of one invocation, in seconds.
        streams: It answers chunk by chunk, so every route to it needs API Gateway's STREAM mode.
        extra_environment: Variables beyond those that every function has and those that come with its grants.
        optional_grants: Permissions that exist only where the catalog has targets of that kind, or the deployment has
            what they are for; what is set with them is only then.
        optional_environment: Variables that exist only where the deployment configures them.
        every_minutes: It is started so often by a schedule, without an answer to anyone; 0 for never.
    """

    name: str
    handler: str
    bundle: Bundle
    memory_mb: int
    timeout_s: int
    streams: bool = False
    grants: tuple[Grant, ...] = ()
    optional_grants: tuple[Grant, ...] = ()
    extra_environment: tuple[str, ...] = ()
    optional_environment: tuple[str, ...] = ()
    every_minutes: int = 0

    @property
    def environment(self) -> frozenset[str]:
        """Names of the variables that this function always finds set."""
        granted = (name for grant in self.grants for name in SET_WITH_GRANT[grant.resource])
        return frozenset((*ALWAYS_SET, *granted, *self.extra_environment))

    @property
    def key_actions(self) -> tuple[str, ...]:
        """Everything it may do with the key, and only on behalf of the stores it was granted."""
        return tuple(sorted({action for grant in self.grants for action in grant.key_actions}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one URL.

    Attributes:
        path: In API Gateway's notation: `{id}` is one segment, `{id+}` is all that remain.
        auth: `key` asks the authorizer and counts against a usage plan; `none` is open to anyone.
        needs: What the caller's role must allow (`shared.core.principals.MAY`); None for what is open to anyone.
    """

    method: Method
    path: str
    function: str
    auth: Auth = "key"
    needs: Action | None = None

    @property
    def stream(self) -> bool:
        """Whether API Gateway must pass the answer on as it comes: true of every route to a streaming function."""
        return FUNCTIONS[self.function].streams


@dataclass(frozen=True, slots=True)
class Plan:
    """API Gateway's best-effort ceiling for each API Gateway key of a tier.

    A client has one of its own; those who have none, or tokens, share one, and this ceiling. The exact limits are the
    admission script's (the tier presets in the catalog): this only keeps a flood away from the functions.
    """

    tier: str
    rate: int  # requests a second, sustained
    burst: int  # requests at once


AUTHORIZER: Final = "authorizer"
GATEWAY: Final = "gateway"  # whose log is the journal of money
STREAM_SECONDS: Final = 900  # API Gateway's own limit for a stream
LONGEST_LEASE: Final = STREAM_SECONDS + 5  # seconds: a request's claim on money outlives its invocation by that little
LOG_DELAY: Final = 30  # seconds: CloudWatch shows a line within a few, and promises nothing

FUNCTIONS: Final[dict[str, Function]] = {
    function.name: function
    for function in (
        Function(
            name=AUTHORIZER,
            handler="functions.authorizer.handler",
            bundle="hot",
            memory_mb=256,
            timeout_s=10,
            grants=(
                Grant("directory", ("dynamodb:GetItem",)),
                Grant("pepper", ("secretsmanager:GetSecretValue",)),
                Grant("signing", ("secretsmanager:GetSecretValue",)),
            ),
            extra_environment=("JWT_ISSUER", "USAGE_KEY_PREFIX"),
            optional_environment=("OIDC_ISSUERS",),
        ),
        Function(
            name=GATEWAY,
            handler="functions.gateway.handler",
            bundle="hot",
            memory_mb=512,
            timeout_s=STREAM_SECONDS,
            streams=True,
            grants=(
                Grant("directory", ("dynamodb:GetItem",)),
                Grant("providers", ("secretsmanager:GetSecretValue",)),
                Grant("valkey", ("elasticache:Connect",)),
            ),
            optional_grants=(
                Grant("asyncanswers", ("s3:DeleteObject", "s3:GetObject")),
                Grant("asyncbuckets", ("s3:ListBucket",)),
                Grant("asyncendpoints", ("sagemaker:InvokeEndpointAsync",)),
                Grant("asyncrequests", ("s3:DeleteObject", "s3:PutObject")),
                Grant("bedrock", ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")),
                Grant("sagemaker", ("sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream")),
            ),
            optional_environment=(
                "ANTHROPIC_BASE_URL",
                "GEMINI_BASE_URL",
                "GPU_SERVICE_URL",
                "OPENAI_BASE_URL",
                "SIMULATED_BASE_URL",
            ),
        ),
        Function(
            name="tokens",
            handler="functions.tokens.handler",
            bundle="control",
            memory_mb=512,  # one password takes 64 MiB
            timeout_s=10,
            grants=(
                Grant("directory", ("dynamodb:GetItem",)),
                Grant("pepper", ("secretsmanager:GetSecretValue",)),
                Grant("signing", ("secretsmanager:GetSecretValue",)),
                Grant("valkey", ("elasticache:Connect",)),
            ),
            extra_environment=("JWT_ISSUER",),
        ),
        Function(
            name="admin",
            handler="functions.admin.handler",
            bundle="control",
            memory_mb=512,
            timeout_s=29,  # API Gateway's own limit for a whole answer
            grants=(
                Grant("audit", ("dynamodb:PutItem", "dynamodb:Query")),  # nothing that could change a line
                Grant("directory", ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query")),
                Grant("ledger", ("dynamodb:BatchGetItem", "dynamodb:Query")),
                Grant("pepper", ("secretsmanager:GetSecretValue",)),
                Grant("valkey", ("elasticache:Connect",)),
            ),
        ),
        Function(
            name="budgets",
            handler="functions.budgets.handler",
            bundle="control",
            memory_mb=512,
            timeout_s=58,  # the next one starts after a minute; should two meet, they do no harm
            grants=(
                Grant("directory", ("dynamodb:Query",)),
                Grant(
                    "ledger",
                    (
                        "dynamodb:BatchGetItem",
                        "dynamodb:GetItem",
                        "dynamodb:PutItem",
                        "dynamodb:Query",
                        "dynamodb:UpdateItem",
                    ),
                ),
                Grant("journal", ("logs:FilterLogEvents",)),
                Grant("valkey", ("elasticache:Connect",)),
            ),
            extra_environment=("LOG_DELAY", "LONGEST_LEASE"),
            every_minutes=1,
        ),
        Function(
            name="usagekeys",
            handler="functions.usage_keys.handler",
            bundle="control",
            memory_mb=256,
            timeout_s=58,  # as that of the books
            grants=(
                Grant("apikey", ("apigateway:DELETE",)),
                Grant("apikeys", ("apigateway:GET", "apigateway:POST")),
                Grant(
                    "directory", ("dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem")
                ),
                Grant("enrolled", ("apigateway:DELETE",)),
                Grant("plans", ("apigateway:POST",)),
            ),
            optional_grants=(Grant("ipsets", ("wafv2:GetIPSet", "wafv2:UpdateIPSet")),),
            extra_environment=("USAGE_KEY_PREFIX",),
            every_minutes=1,
        ),
    )
}

INFERENCE: Final = (
    *("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/moderations", "/v1/rerank"),
    *("/v1/messages", "/v1/messages/count_tokens", "/api/llm/generate", "/api/ai/ensemble", "/api/ai/route"),
)
ROUTES: Final = (
    Route(method="GET", path="/health", function="gateway", auth="none"),
    Route(method="GET", path="/health/live", function="gateway", auth="none"),
    Route(method="GET", path="/health/ready", function="gateway", auth="none"),
    Route(method="POST", path="/auth/token", function="tokens", auth="none"),
    Route(method="GET", path="/.well-known/jwks.json", function="tokens", auth="none"),
    *(Route(method="POST", path=path, function="gateway", needs="infer") for path in INFERENCE),
    Route(method="GET", path="/api/ai/status", function="gateway", needs="read"),
    Route(method="GET", path="/v1/models", function="gateway", needs="read"),
    Route(method="GET", path="/v1/models/{id+}", function="gateway", needs="read"),
    Route(method="GET", path="/openapi.json", function="admin", auth="none"),
    Route(method="GET", path="/admin/usage", function="admin", needs="observe"),
    # the control plane's own table of routes goes on from here: a line for each would fill the template
    *(Route(method=method, path="/admin/{id+}", function="admin", needs="administer") for method in get_args(Method)),
)

PLANS: Final = (
    Plan("free", rate=100, burst=200),
    Plan("pro", rate=1_000, burst=2_000),
    Plan("enterprise", rate=5_000, burst=5_000),
)
