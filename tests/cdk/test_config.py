"""A deployment's settings are read from the CDK context, and a wrong one is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdk import app, config
from cdk.config import Config, ConfigError
from cdk.local.assembly import configured

ROOT = Path(__file__).resolve().parents[2]


def test_what_was_written_is_read_back() -> None:
    """A configuration survives the context, so a child process builds what its parent asked for."""
    chosen = Config(stage="prod", target="host", waf=False, catalog=Path("/c.toml"), reserved_concurrency={"admin": 2})
    assert config.parse(chosen.context()) == chosen


def test_the_command_line_speaks_text() -> None:
    """`-c nexus:waf=false` arrives as a string, and so does a mapping."""
    parsed = config.parse({"nexus:waf": "false", "nexus:reserved_concurrency": '{"gateway": 800}'})
    assert parsed.waf is False
    assert parsed.reserved_concurrency == {"gateway": 800}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (
            "stagge",
            "x",
            "nexus:stagge: is not a field here (is nexus:stage meant?); the fields are nexus:stage, nexus:region",
        ),
        ("waf", "maybe", 'nexus:waf: "maybe" is wrong: it must be a valid boolean'),
        ("stage", "A B", 'nexus:stage: "A B" does not match'),
        ("cors_origins", "https://app.example", "nexus:cors_origins: must be a list or an object"),
        ("oidc", [{"name": "okta"}], "nexus:oidc.0.issuer: is missing; add it; nexus:oidc.0.audience: is missing"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(key: str, value: object, told: str) -> None:
    """As those in the catalog are."""
    with pytest.raises(ConfigError) as error:
        config.parse({f"nexus:{key}": value})
    assert told in str(error.value)
    assert str(error.value).endswith("Correct it in cdk.json, or behind -c.")


def test_other_keys_are_left_to_cdk() -> None:
    """Feature flags and cached lookups are not ours to judge."""
    assert config.parse({"@aws-cdk/core:whatever": True, "availability-zones:x": []}) == Config()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nexus:wafe", True),
        ("nexus:stage", "Prod!"),
        ("nexus:region", "mars"),
        ("nexus:target", "windows"),
        ("nexus:gpu_service_url", "ftp://gpu/v1"),
        ("nexus:openai_base_url", "https://api.example/v1/"),
        ("nexus:reserved_concurrency", {"gatewayy": 1}),
        ("nexus:reserved_concurrency", "{gateway"),
        ("nexus:waf_requests_per_ip", 9),
        ("nexus:valkey_max_gb", 0),
    ],
)
def test_a_wrong_key_is_named(key: str, value: object) -> None:
    """The message starts with the key as it was written."""
    with pytest.raises(ConfigError) as error:
        config.parse({key: value})
    assert str(error.value).startswith(key)


def test_the_repositorys_own_settings_are_valid() -> None:
    """`cdk.json` parses, and names the app that the CLI runs."""
    assert config.parse(config.defaults()).stage == "dev"
    assert json.loads((ROOT / "cdk.json").read_text())["app"].endswith("python -m cdk.app")


def test_a_broken_cdk_json_is_named(tmp_path: Path) -> None:
    """Neither a missing nor a mangled file ends in a traceback."""
    broken = tmp_path / "cdk.json"
    for content in (b"{", b"{}", b"[]", b'{"context": 1}', b'{"context": ["x"]}', b"\xff"):
        broken.write_bytes(content)
        with pytest.raises(ConfigError, match=r"cdk\.json"):
            config.defaults(broken)
    with pytest.raises(ConfigError, match=r"absent\.json"):
        config.defaults(tmp_path / "absent.json")


def test_the_app_shows_a_broken_cdk_json_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it does any other setting that is wrong."""
    assert app.main(tmp_path / "absent.json") == 1
    assert capsys.readouterr().err.startswith(f"nexus: {tmp_path}/absent.json: ")


def test_the_local_run_has_the_settings_of_the_deployment(tmp_path: Path) -> None:
    """What `cdk.json` says holds on this machine too, but for the zips' target and a catalog that was asked for."""
    settings = tmp_path / "cdk.json"
    settings.write_text('{"context": {"nexus:stage": "prod", "nexus:catalog": "c.toml", "nexus:waf": false}}')
    assert configured("", settings) == Config(stage="prod", catalog=Path("c.toml"), waf=False, target="host")
    assert configured("/other.toml", settings).catalog == Path("/other.toml")
    settings.write_text('{"context": {"nexus:stgae": "prod"}}')
    with pytest.raises(ConfigError, match="nexus:stgae"):
        configured("", settings)
