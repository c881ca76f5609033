"""The gateway as data: its functions, what each may touch, the URLs that reach them, and the tiers' usage plans.

CDK builds from these lines and from nothing else, and tests hold the template to them. A new Lambda, a new route or a
new permission begins here; nothing in `cdk/` names an action or a path.
"""

from __future__ import annotations

from typing import Final, get_args

from shared.core import events
from shared.grants import Grant
from shared.parts import Function, Method, Plan, Route

AUTHORIZER: Final = "authorizer"
GATEWAY: Final = "gateway"  # whose log is the journal of money
STREAM_SECONDS: Final = 900  # API Gateway's own limit for a stream
LONGEST_LEASE: Final = STREAM_SECONDS + 5  # seconds: a request's claim on money outlives its invocation by that little
LOG_DELAY: Final = 30  # seconds: CloudWatch shows a line within a few, and promises nothing
FOR_PEOPLE: Final = (  # lines that are rare, so that hearing of them costs nothing per request
    f'{{ ($.event = "{events.BUDGET}") || ($.event = "{events.SECURITY}") || ($.event = "{events.FAULT}")'
    f' || ($.event = "{events.BREAKER}" && $.state = "open") }}'
)

_TO_SERVE: Final = (  # what it takes to serve a request, wherever that is done
    Grant("directory", ("dynamodb:GetItem",)),
    Grant("providers", ("secretsmanager:GetSecretValue",)),
    Grant("valkey", ("elasticache:Connect",)),
)
_TO_ASK: Final = (  # and what to ask the targets that the catalog has
    Grant("asyncanswers", ("s3:DeleteObject", "s3:GetObject")),
    Grant("asyncbuckets", ("s3:ListBucket",)),
    Grant("asyncendpoints", ("sagemaker:InvokeEndpointAsync",)),
    Grant("asyncrequests", ("s3:DeleteObject", "s3:PutObject")),
    Grant("bedrock", ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")),
    Grant("sagemaker", ("sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream")),
)
_PLACES: Final = ("ANTHROPIC_BASE_URL", "GEMINI_BASE_URL", "GPU_SERVICE_URL", "OPENAI_BASE_URL", "SIMULATED_BASE_URL")

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
            grants=_TO_SERVE,
            optional_grants=_TO_ASK,
            optional_environment=_PLACES,
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
            extra_environment=("WEBHOOKS_TO_LOOPBACK",),
        ),
        Function(
            name="batches",
            handler="functions.batches.handler",
            bundle="control",
            memory_mb=512,
            timeout_s=STREAM_SECONDS,  # results of many megabytes, to a slow reader
            streams=True,
            grants=(
                Grant("batchbucket", ("s3:ListBucket",)),
                Grant(
                    "batches",
                    (
                        "dynamodb:DeleteItem",
                        "dynamodb:GetItem",
                        "dynamodb:PutItem",
                        "dynamodb:Query",
                        "dynamodb:UpdateItem",
                    ),
                ),
                Grant("batchfiles", ("s3:DeleteObject", "s3:GetObject", "s3:PutObject")),
                Grant("batchqueue", ("sqs:SendMessage",)),
                Grant("directory", ("dynamodb:GetItem",)),
            ),
        ),
        Function(
            name="batchworker",
            handler="functions.batch_worker.handler",
            bundle="control",
            memory_mb=1024,
            timeout_s=STREAM_SECONDS,
            grants=(
                Grant("batchbucket", ("s3:ListBucket",)),
                Grant("batches", ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")),
                Grant("batchfiles", ("s3:DeleteObject", "s3:GetObject", "s3:PutObject")),
                Grant(
                    "batchqueue",
                    ("sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage"),
                ),
                *_TO_SERVE,
            ),
            optional_grants=_TO_ASK,
            optional_environment=_PLACES,
            writes_to=GATEWAY,
            queued=True,
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
        Function(
            name="alerts",
            handler="functions.alerts.handler",
            bundle="control",
            memory_mb=256,
            timeout_s=45,  # Lambda repeats what failed a minute later: by then no claim of the first may hold
            grants=(
                Grant("directory", ("dynamodb:GetItem",)),
                Grant("ledger", ("dynamodb:UpdateItem",)),
                Grant("topic", ("sns:Publish",)),
            ),
            extra_environment=("WEBHOOKS_TO_LOOPBACK",),
            hears=FOR_PEOPLE,
        ),
    )
}

# Exists only where the deployment has the GPU service at Cloud Run; it needs nothing of AWS but its name.
CLOUD_RUN: Final = Function(
    name="cloudrun", handler="functions.cloud_run.handler", bundle="gcp", memory_mb=512, timeout_s=900
)

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
    Route(method="GET", path="/v1/batches", function="batches", needs="infer"),
    Route(method="POST", path="/v1/batches", function="batches", needs="infer"),
    Route(method="GET", path="/v1/batches/{id}", function="batches", needs="infer"),
    Route(method="POST", path="/v1/batches/{id}/cancel", function="batches", needs="infer"),
    Route(method="GET", path="/v1/files", function="batches", needs="infer"),
    Route(method="POST", path="/v1/files", function="batches", needs="infer"),
    Route(method="GET", path="/v1/files/{id}", function="batches", needs="infer"),
    Route(method="DELETE", path="/v1/files/{id}", function="batches", needs="infer"),
    Route(method="GET", path="/v1/files/{id}/content", function="batches", needs="infer"),
    Route(method="GET", path="/openapi.json", function="admin", auth="none"),
    Route(method="GET", path="/admin/usage", function="admin", needs="observe"),
    Route(method="GET", path="/metrics", function="admin", needs="observe"),
    Route(method="GET", path="/api/ai/metrics", function="admin", needs="read"),
    Route(method="GET", path="/api/ai/analytics/summary", function="admin", needs="read"),
    Route(method="GET", path="/api/ai/analytics/model-comparison", function="admin", needs="observe"),
    # the control plane's own table of routes goes on from here: a line for each would fill the template
    *(Route(method=method, path="/admin/{id+}", function="admin", needs="administer") for method in get_args(Method)),
)

PLANS: Final = (
    Plan("free", rate=100, burst=200),
    Plan("pro", rate=1_000, burst=2_000),
    Plan("enterprise", rate=5_000, burst=5_000),
)
