"""Lines of the access log, compared with Istio's documentation."""

import json
from dataclasses import dataclass, field

import pytest

from tests.support.bench_plane import Bench
from tests.support.fake_loop import FakeTransport
from tulle.actors.proxy.accesslog import AccessLog
from tulle.actors.proxy.spec import AccessLogForm
from tulle.policies.decide.plan import DEFAULT_RETRY, LocalAnswer, Plan
from tulle.policies.reasons import CONNECT_FAILED

# https://istio.io/latest/docs/tasks/observability/logs/access-log/#default-access-log-format
ISTIO_TEXT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" '
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% '
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% '
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
MEANT = {  # the keys of Istio's default JSON format, and the operators they stand for
    "start_time": "%START_TIME%",
    "route_name": "%ROUTE_NAME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}
POST = b"POST /x?q=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8\r\nX-Request-Id: mine\r\n"
BODY = POST + b"Authorization: Bearer hush\r\nContent-Length: 5\r\n\r\nhello"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
STARTED = 1_769_860_800.123  # 2026-01-31T12:00:00.123Z


@dataclass
class Lines:
    """What a log writes."""

    written: list[bytes] = field(default_factory=list)

    def add(self, line: bytes) -> None:
        self.written.append(line)

    def read(self) -> dict[str, object]:
        """The one line, of JSON."""
        (line,) = self.written
        value = json.loads(line)
        assert isinstance(value, dict)
        return value


def bench_and_lines(form: AccessLogForm = "json") -> tuple[Bench, Lines]:
    lines = Lines()
    return Bench(access_log=AccessLog(lines, form, lambda: STARTED, lambda: 0.0)), lines


def served(bench: Bench, request: bytes, response: bytes = OK) -> FakeTransport:
    upstream = bench.endpoint.connect()
    bench.send(request)
    bench.answer(upstream, response)
    return upstream


def freeze(bench: Bench) -> None:
    """The request under way began this very moment."""
    exchange = bench.connection._exchange
    assert exchange is not None
    exchange.started = 0.0


def test_text_is_istios_default() -> None:
    texts, lines = bench_and_lines("text")
    jsons, values = bench_and_lines("json")
    for bench in (texts, jsons):
        upstream = bench.endpoint.connect()
        bench.send(BODY)
        freeze(bench)
        bench.answer(upstream, OK)
    expected = ISTIO_TEXT
    for key, value in values.read().items():
        expected = expected.replace(MEANT[key], "-" if value is None else str(value))
    assert "%" not in expected
    assert lines.written == [expected.encode()]


def test_a_line_says_what_happened() -> None:
    bench, lines = bench_and_lines()
    upstream = bench.endpoint.connect()
    bench.send(BODY)
    freeze(bench)
    bench.answer(upstream, OK)
    said = lines.read()
    assert said.keys() == MEANT.keys()
    assert said == {
        "start_time": "2026-01-31T12:00:00.123Z",
        "route_name": "all",
        "method": "POST",
        "path": "/x?q=1",
        "protocol": "HTTP/1.1",
        "response_code": 200,
        "response_flags": "-",
        "response_code_details": "via_upstream",
        "connection_termination_details": None,
        "bytes_received": 5,
        "bytes_sent": 2,
        "duration": 0,
        "upstream_service_time": None,
        "x_forwarded_for": "192.0.2.9",
        "user_agent": "curl/8",
        "request_id": "mine",
        "authority": "a",
        "upstream_host": "e0:80",
        "upstream_cluster": "outbound|80||up.local",
        "upstream_local_address": None,
        "downstream_local_address": None,
        "downstream_remote_address": "192.0.2.9:1234",
        "requested_server_name": None,
        "upstream_transport_failure_reason": None,
    }
    assert b"hush" not in lines.written[0]


def test_a_made_request_id_is_the_one_that_was_sent() -> None:
    bench, lines = bench_and_lines()
    upstream = bench.endpoint.connect()
    bench.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    sent = upstream.take()
    bench.answer(upstream, OK)
    request_id = lines.read()["request_id"]
    assert isinstance(request_id, str) and len(request_id) == 36
    assert b"x-request-id: " + request_id.encode() in sent


def test_a_streamed_body_is_counted_without_its_framing() -> None:
    bench, lines = bench_and_lines()
    upstream = bench.endpoint.connect()
    bench.send(
        b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"
    )
    bench.answer(upstream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
    bench.answer(upstream, b"5\r\nthere\r\n0\r\n\r\n")
    said = lines.read()
    assert (said["bytes_received"], said["bytes_sent"]) == (4, 7)


def test_an_answer_of_our_own_says_why() -> None:
    bench, lines = bench_and_lines()
    bench.send(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8\r\n\r\n")
    for _ in range(3):  # the last two by default
        bench.endpoint.fail(CONNECT_FAILED)
        bench.loop.advance(0.5)
    said = lines.read()
    assert (said["response_code"], said["response_flags"]) == (503, "UF,URX")
    assert said["response_code_details"] == "connect_failed"
    assert (said["upstream_host"], said["user_agent"]) == ("e0:80", "curl/8")
    answer = bench.client.take()
    assert said["bytes_sent"] == len(answer.partition(b"\r\n\r\n")[2])


def test_flags_of_faults_and_paths_before_they_were_rewritten() -> None:
    bench, lines = bench_and_lines()
    rewrite = Plan(rewrite_path=lambda path: b"/new", delay=7.0, delay_share=1.0)
    bench.choose(DEFAULT_RETRY, rewrite)
    upstream = bench.endpoint.connect()
    bench.send(b"GET /old HTTP/1.1\r\nHost: a\r\n\r\n")
    bench.loop.advance(7.1)
    assert upstream.take().startswith(b"GET /new ")
    bench.answer(upstream, OK)
    said = lines.read()
    assert (said["path"], said["response_flags"]) == ("/old", "DI")
    assert said["response_code_details"] == "via_upstream"


def test_an_answer_of_the_policy() -> None:
    bench, lines = bench_and_lines()
    bench.choose(DEFAULT_RETRY, Plan(answer=lambda asked: LocalAnswer(418, (), b"short")))
    bench.send(POST + b"\r\n")
    said = lines.read()
    assert (said["response_code"], said["response_flags"]) == (418, "-")
    assert (said["response_code_details"], said["bytes_sent"]) == ("direct_response", 5)
    assert said["route_name"] == "all"


def test_a_request_that_goes_nowhere_has_no_upstream() -> None:
    bench, lines = bench_and_lines()
    bench.edge.choose = None
    bench.send(POST + b"X-Forwarded-For: 198.51.100.1\r\n\r\n")
    said = lines.read()
    assert (said["response_code"], said["response_code_details"]) == (404, "no_gateway")
    assert (said["upstream_host"], said["upstream_cluster"], said["route_name"]) == (None,) * 3
    assert (said["request_id"], said["x_forwarded_for"]) == ("mine", "198.51.100.1")


def test_a_client_that_goes_before_the_answer() -> None:
    bench, lines = bench_and_lines()
    bench.endpoint.connect()
    bench.send(POST + b"\r\n")
    bench.client.lose()
    said = lines.read()
    assert (said["response_code"], said["response_flags"]) == (0, "DC")
    assert said["response_code_details"] == "downstream_remote_disconnect"
    assert said["upstream_host"] == "e0:80"


def test_what_is_no_request_is_logged_too() -> None:
    bench, lines = bench_and_lines()
    bench.send(b"nonsense\r\n\r\n")
    said = lines.read()
    assert (said["response_code"], said["response_flags"]) == (400, "DPE")
    assert said["response_code_details"] == "bad_request"
    assert (said["method"], said["downstream_remote_address"]) == (None, "192.0.2.9:1234")


@pytest.mark.parametrize(
    ("agent", "text"),
    [
        (b'x" 200 - "', '"x\\x22 200 - \\x22"'),
        (b"back\\slash", '"back\\x5cslash"'),
        (b"caf\xc3\xa9", '"café"'),
        (b"tab\tbed", '"tab\\x09bed"'),
        (b"\xff", '"�"'),
    ],
)
def test_no_client_can_forge_a_line(agent: bytes, text: str) -> None:
    for form in ("text", "json"):
        bench, lines = bench_and_lines(form)
        served(bench, b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: " + agent + b"\r\n\r\n")
        (line,) = lines.written
        assert line.count(b"\n") == 1
        if form == "text":
            assert text in line.decode()
        else:
            assert json.loads(line)["user_agent"] == agent.decode("utf-8", "replace")


def test_nothing_is_looked_up_when_requests_are_not_logged() -> None:
    bench = Bench()
    served(bench, POST + b"\r\n")
    assert bench.connection.log is None
