"""The app's environment."""

from tulle.deploy.app import environment


def test_plain_http_goes_through_the_sidecar_for_every_client() -> None:
    env = environment(
        {"PATH": "/bin", "TULLE_WORKLOAD": "of-a-caller"},
        "w",
        "http://w:c@127.0.0.1:1",
        {"PORT": "80"},
    )

    assert env == {
        "PATH": "/bin",
        "PORT": "80",
        "http_proxy": "http://w:c@127.0.0.1:1",
        "HTTP_PROXY": "http://w:c@127.0.0.1:1",
        "no_proxy": "localhost,127.0.0.1",
        "NO_PROXY": "localhost,127.0.0.1",
        "NODE_USE_ENV_PROXY": "1",
        "TULLE_WORKLOAD": "w",
    }


def test_nothing_inherited_leads_past_it() -> None:
    inherited = dict.fromkeys(("ALL_PROXY", "all_proxy", "Http_Proxy", "NO_PROXY", "no_proxy"), "x")

    assert "x" not in environment(inherited, "w", "http://p", {}).values()
