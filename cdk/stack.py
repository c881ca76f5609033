"""The whole deployment on one page: which parts there are, what they tell one another, and who may touch what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aws_cdk import Aws, CfnOutput, DefaultStackSynthesizer, Environment, Stack

from cdk.catalog import compile_catalog
from cdk.constructs.alarms import Alarms, Watched
from cdk.constructs.api import Api, usage_key_prefix
from cdk.constructs.batch import Batch, Feed
from cdk.constructs.cloud_run import CloudRun
from cdk.constructs.dashboard import Dashboard
from cdk.constructs.excuses import LINT, excuse
from cdk.constructs.firewall import Firewall
from cdk.constructs.function import Function
from cdk.constructs.gpu_endpoint import GpuEndpoint
from cdk.constructs.log import log_arns, log_group
from cdk.constructs.signals import Signals
from cdk.constructs.stores import Stores
from cdk.constructs.subscriptions import Subscriptions
from cdk.constructs.topic import Topic
from cdk.constructs.valkey import Valkey
from cdk.targets import identity, storage
from cdk.upstreams import CALLED, unnamed, upstreams
from shared import grants, manifest, parts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aws_cdk.aws_logs import LogGroup
    from constructs import Construct

    from cdk.config import Config


UNNAMED: Final = (
    "An API key gets its id from API Gateway when it is made, so that no grant can name it. The function deletes keys "
    "whose name begins with this stack's id, and no others."
)


@dataclass(frozen=True, slots=True)
class Data:
    """One of the manifest's resources, as built: its ARNs, and the variables that tell a function where it is."""

    arns: list[str]
    environment: dict[str, str]


class NexusStack(Stack):
    """One gateway, in one account and region."""

    def __init__(self, scope: Construct, config: Config, bundles: Mapping[parts.Bundle, Path]) -> None:
        """Build everything that `config` asks for, with the functions' code from `bundles`."""
        super().__init__(
            scope,
            "AiNexus",
            stack_name=config.name,
            description="AI-Nexus: a serverless AI inference gateway",
            suppress_template_indentation=True,  # half the size; from the bucket of the zips, 1 MB may come
            env=Environment(region=config.region) if config.region else None,
            synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
        )
        self.template_options.metadata = LINT
        stores = Stores(self, retain=config.retain_data)
        valkey = Valkey(
            self, name=config.name, key=stores.key, max_gb=config.valkey_max_gb, max_ecpu=config.valkey_max_ecpu
        )
        topic = Topic(self, name=config.name, key=stores.key, email=config.alarm_email)
        logs = {name: log_group(self, name) for name, spec in manifest.FUNCTIONS.items() if not spec.writes_to}
        data = _data(stores, valkey, topic, logs[manifest.GATEWAY]) | self._batch(config, stores) | _called(config)

        def build(spec: parts.Function) -> Function:
            function = self._function(spec, config, data, bundle=bundles[spec.bundle], logs=logs)
            _grant(function, spec, data, stores.key.key_arn)
            return _subscribed(function, spec, logs)

        specs = manifest.FUNCTIONS.values()
        functions = {spec.name: build(spec) for spec in specs if not spec.every_minutes}
        api = self._api(config, functions)
        data |= _plans(api) | self._ip_sets(config, api)  # which need the API, as that needs the functions behind it
        for spec in specs:
            if spec.every_minutes:
                functions[spec.name] = build(spec)
                excuse(functions[spec.name], self._unnamed(api))
        self._tell(config, stores, functions, api, topic)
        self._gpu_service(config, bundles)
        self._watch(config, Watched(functions, logs, stores, valkey), topic)

    def _function(
        self,
        spec: parts.Function,
        config: Config,
        data: Mapping[grants.Resource, Data],
        *,
        bundle: Path,
        logs: Mapping[str, LogGroup],
    ) -> Function:
        """Build one function, which may nothing so far."""
        function = Function(
            self,
            spec,
            bundle=bundle,
            environment=_environment(spec, config, data),
            log=logs[spec.writes_to or spec.name],
            reserved=config.reserved_concurrency.get(spec.name),
        )
        if spec.queued:
            Feed(function, queue_arn=data["batchqueue"].arns[0])
        return function

    def _batch(self, config: Config, stores: Stores) -> dict[grants.Resource, Data]:
        """Build the bucket and the queue of batches, and say where they and their files are."""
        built = Batch(self, key=stores.key, retain=config.retain_data)
        bucket = built.bucket
        CfnOutput(self, "BatchBucket", value=bucket.bucket_name)  # for who lays files into its inbox
        return {
            "batchbucket": Data([bucket.bucket_arn], {}),
            "batches": Data([stores.batches.table_arn], {"BATCHES_TABLE": stores.batches.table_name}),
            "batchfiles": Data([bucket.arn_for_objects("*")], {"BATCH_BUCKET": bucket.bucket_name}),
            "batchqueue": Data([built.queue.queue_arn], {"BATCH_QUEUE": built.queue.queue_url}),
        }

    def _gpu_service(self, config: Config, bundles: Mapping[parts.Bundle, Path]) -> None:
        """Build the GPU service where it is to be; the gateway is granted what the catalog names."""
        catalog = compile_catalog(config.catalog_file)
        if config.gpu_endpoint:
            place = storage(config, catalog)
            built = GpuEndpoint(self, name=config.gpu_service_name, wanted=config.gpu_endpoint, storage=place)
            CfnOutput(self, "GpuEndpointName", value=built.endpoint.attr_endpoint_name)
        if config.cloud_run and (caller := identity(config, catalog)):
            run = CloudRun(
                self,
                wanted=config.cloud_run.deployed(config.gpu_service_name, caller),
                bundle=bundles[manifest.CLOUD_RUN.bundle],
                environment=_environment(manifest.CLOUD_RUN, config, {}),
                role_name=f"{config.name}-cloud-run-{Aws.REGION}",
            )
            CfnOutput(self, "CloudRunAddress", value=run.address)

    def _watch(self, config: Config, watched: Watched, topic: Topic) -> None:
        """Have operators told of what goes wrong, and shown what goes on."""
        if not (config.alarms or config.dashboard):
            return
        signals = Signals(self, stage=config.stage, groups=watched.logs)
        alarms = Alarms(self, config, watched, signals=signals, topic=topic.topic).all if config.alarms else []
        if config.dashboard:
            page = Dashboard(self, config, watched, signals=signals, alarms=alarms)
            CfnOutput(self, "DashboardUrl", value=page.url)

    def _api(self, config: Config, functions: Mapping[str, Function]) -> Api:
        """Build the door."""
        return Api(
            self,
            name=config.name,
            stage=config.stage,
            functions={name: function.function for name, function in functions.items()},
            own_log_account=config.account_log_role,
            firewall=config.waf,
            origins=config.cors_origins,
        )

    def _ip_sets(self, config: Config, api: Api) -> dict[grants.Resource, Data]:
        """Build the firewall before the door, if there is to be one, and say where its sets of networks are."""
        if not config.waf:
            return {"ipsets": Data([], {})}
        stage_arn = api.api.deployment_stage.stage_arn
        firewall = Firewall(self, stage_arn=stage_arn, requests_per_ip=config.waf_requests_per_ip)
        arns = {family: ip_set.attr_arn for family, ip_set in firewall.ip_sets.items()}
        told = ",".join(f"{family}={arn}" for family, arn in arns.items())
        return {"ipsets": Data(list(arns.values()), {"IP_SETS": told})}

    def _unnamed(self, api: Api) -> dict[str, str]:
        """Excuse that a function may touch API keys whose ids are not known here."""
        plans = [f"usageplans/<{self.resolve(plan)['Ref']}>/keys" for plan in api.plans.values()]
        rule = "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:apigateway:<AWS::Region>::/{}/*]"
        return {rule.format(folder): UNNAMED for folder in ("apikeys", *plans)}

    def _tell(self, config: Config, stores: Stores, functions: Mapping[str, Function], api: Api, topic: Topic) -> None:
        """Write what an operator needs next into the stack's outputs."""
        outputs = {
            "BaseUrl": api.url,
            "AdminFunction": functions["admin"].function.function_name,
            "GatewayRole": functions[manifest.GATEWAY].role.role_name,
            "BatchWorkerRole": functions["batchworker"].role.role_name,
            "DirectoryTable": stores.directory.table_name,
            "PepperSecret": stores.pepper.secret_arn,
            "ProvidersSecret": stores.providers.secret_arn,
            "SigningSecret": stores.signing.secret_arn,
            "JwtIssuer": config.jwt_issuer,
            "OperatorsTopic": topic.topic.topic_arn,
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)


def _data(stores: Stores, valkey: Valkey, topic: Topic, journal: LogGroup) -> dict[grants.Resource, Data]:
    """Say where each resource of the manifest is."""
    return {
        "audit": Data([stores.audit.table_arn], {"AUDIT_TABLE": stores.audit.table_name}),
        "directory": Data([stores.directory.table_arn], {"DIRECTORY_TABLE": stores.directory.table_name}),
        "journal": Data(log_arns(journal), {"GATEWAY_LOG": journal.log_group_name}),
        "ledger": Data([stores.ledger.table_arn], {"LEDGER_TABLE": stores.ledger.table_name}),
        "pepper": Data([stores.pepper.secret_arn], {"PEPPER_SECRET": stores.pepper.secret_arn}),
        "providers": Data([stores.providers.secret_arn], {"PROVIDERS_SECRET": stores.providers.secret_arn}),
        "signing": Data([stores.signing.secret_arn], {"SIGNING_SECRET": stores.signing.secret_arn}),
        "topic": Data([topic.topic.topic_arn], {"OPERATORS_TOPIC": topic.topic.topic_arn}),
        "valkey": Data(
            valkey.arns,
            {
                "VALKEY_HOST": valkey.cache.attr_endpoint_address,
                "VALKEY_PORT": valkey.cache.attr_endpoint_port,
                "VALKEY_TLS": "true",
                "VALKEY_USER": valkey.user.user_name,
                "VALKEY_CACHE": valkey.cache.serverless_cache_name,
            },
        ),
    }


def _called(config: Config) -> dict[grants.Resource, Data]:
    """Say what of AWS the catalog has as targets."""
    return {resource: Data(arns, {}) for resource, arns in upstreams(compile_catalog(config.catalog_file)).items()}


def _plans(api: Api) -> dict[grants.Resource, Data]:
    """Say where the usage plans are, and the API keys in them."""
    root = f"arn:{Aws.PARTITION}:apigateway:{Aws.REGION}::"
    plans = [f"{root}/usageplans/{plan}/keys" for plan in api.plans.values()]
    return {
        "apikey": Data([f"{root}/apikeys/*"], {}),
        "apikeys": Data([f"{root}/apikeys"], {}),
        "enrolled": Data([f"{plan}/*" for plan in plans], {}),
        "plans": Data(plans, {"USAGE_PLANS": ",".join(f"{tier}={plan}" for tier, plan in api.plans.items())}),
    }


def _environment(spec: parts.Function, config: Config, data: Mapping[grants.Resource, Data]) -> dict[str, str]:
    """Set what the manifest promises to `spec`; a promise that nothing here keeps is a KeyError."""
    known = {
        "AWS_LAMBDA_EXEC_WRAPPER": "/var/task/bootstrap",
        "JWT_ISSUER": config.jwt_issuer,
        "LOG_DELAY": str(manifest.LOG_DELAY),
        "LONGEST_LEASE": str(manifest.LONGEST_LEASE),
        "POWERTOOLS_METRICS_NAMESPACE": "AINexus",
        "POWERTOOLS_SERVICE_NAME": spec.name,
        "RES_OPTIONS": "timeout:1 attempts:2",  # glibc's 5 s are the only deadline of a lookup that boto3 makes
        "STAGE": config.stage,
        "USAGE_KEY_PREFIX": usage_key_prefix(),
        "WEBHOOKS_TO_LOOPBACK": "false",  # only a local run says otherwise
        **{name: value for grant in spec.grants for name, value in data[grant.resource].environment.items()},
    }
    optional = {
        "ANTHROPIC_BASE_URL": config.anthropic_base_url,
        "GEMINI_BASE_URL": config.gemini_base_url,
        "GPU_SERVICE_URL": config.gpu_service_url,
        "OIDC_ISSUERS": config.oidc_environment,
        "OPENAI_BASE_URL": config.openai_base_url,
    }
    chosen = {name: value for name, value in optional.items() if value and name in spec.optional_environment}
    chosen |= {name: value for grant in _chosen(spec, data) for name, value in data[grant.resource].environment.items()}
    if config.cors_origins and spec.name in {route.function for route in manifest.ROUTES}:
        chosen["CORS_ORIGINS"] = " ".join(config.cors_origins)
    return {**{name: known[name] for name in sorted(spec.environment)}, **chosen}


def _chosen(spec: parts.Function, data: Mapping[grants.Resource, Data]) -> list[grants.Grant]:
    """Return the optional grants of `spec` for which there is something here."""
    return [grant for grant in spec.optional_grants if data[grant.resource].arns]


def _subscribed(function: Function, spec: parts.Function, logs: Mapping[str, LogGroup]) -> Function:
    """Have it started with what it hears in the others' logs; one that heard itself would never stop."""
    if spec.hears:
        others = {name: log for name, log in logs.items() if name != spec.name}
        Subscriptions(function, function.function, pattern=spec.hears, heard=others)
    return function


def _grant(function: Function, spec: parts.Function, data: Mapping[grants.Resource, Data], key_arn: str) -> None:
    """Allow exactly what the manifest says; the key only for what the stores do on the function's behalf."""
    for grant in (*spec.grants, *_chosen(spec, data)):
        function.allow(grant.resource.capitalize(), grant.actions, data[grant.resource].arns)
    services = sorted({grant.actions[0].partition(":")[0] for grant in spec.grants if grant.key_actions})
    through = {"kms:ViaService": [f"{service}.{Aws.REGION}.{Aws.URL_SUFFIX}" for service in services]}
    excuse(function, unnamed(function, [arn for resource in CALLED for arn in data[resource].arns]))
    function.allow("Key", spec.key_actions, [key_arn], {"StringEquals": through})
