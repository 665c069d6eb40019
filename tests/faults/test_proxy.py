"""The fault proxy itself: what it passes on unchanged, and that each fault is what it says."""

from __future__ import annotations

import asyncio
import gc
import io
import itertools
import json
import warnings
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.faults.proxy import HOST, FaultProxy
from tests.faults.rules import Rule

BIG = 20 * 1024 * 1024
TARGET = "DynamoDB_20120810.TransactWriteItems"


class Upstream:
    """A server that notes what reaches it, whole or not, and echoes it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.hosts: list[str] = []
        self.polled = asyncio.Event()
        self.poller_left = asyncio.Event()

    async def echo(self, request: web.Request) -> web.Response:
        """Answer with the body."""
        body = await request.read()
        self.seen.append(request.path_qs)
        self.hosts.append(request.host)
        return web.Response(body=body)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer in chunks."""
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        for part in (b"one ", b"two ", b"three"):
            await answer.write(part)
        return answer

    async def poll(self, _request: web.Request) -> web.Response:
        """Never answer."""
        self.polled.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.poller_left.set()
        raise AssertionError


@pytest.fixture
def upstream() -> Upstream:
    """Make what the server notes."""
    return Upstream()


@pytest.fixture
async def proxy(upstream: Upstream) -> AsyncIterator[FaultProxy]:
    """Run the server and the proxy before it."""
    app = web.Application(client_max_size=2 * BIG)
    app.add_routes([web.get("/poll", upstream.poll), web.get("/stream", upstream.stream)])
    app.router.add_route("*", "/{path:.*}", upstream.echo)
    async with TestServer(app, handler_cancellation=True) as server, FaultProxy(str(server.make_url("/"))) as proxy:
        yield proxy


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open a client's session."""
    async with aiohttp.ClientSession() as opened:
        yield opened


def everything(proxy: FaultProxy) -> Rule:
    """Start a rule for all requests."""
    return proxy.when(lambda _request: True)


async def post(session: aiohttp.ClientSession, proxy: FaultProxy, path: str, body: bytes = b"body") -> bytes:
    """Post and return the answer's body; ``aiohttp`` repeats no post by itself."""
    async with session.post(proxy.url + path, data=body) as answer:
        return await answer.read()


async def test_a_request_passes_as_it_is(upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession) -> None:
    """Path, query, Host header and body arrive, because signatures cover them."""
    answer = await post(session, proxy, "/a%20b?x=1%2F2")

    assert answer == b"body"
    assert ["/a%20b?x=1/2"] == upstream.seen
    assert [proxy.url.removeprefix("http://")] == upstream.hosts


async def test_a_connection_is_kept_alive(proxy: FaultProxy, session: aiohttp.ClientSession) -> None:
    """Three requests, one connection."""
    for _ in range(3):
        await post(session, proxy, "/")

    assert len(proxy._connections) == 1


async def test_twenty_megabytes_pass_both_ways(proxy: FaultProxy, session: aiohttp.ClientSession) -> None:
    """With a length, in chunks, and held back until the server asks for it."""
    body = b"x" * BIG

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, BIG, 2**18):
            yield body[start : start + 2**18]

    async with session.put(proxy.url, data=io.BytesIO(body)) as answer:
        assert await answer.read() == body
    async with session.put(proxy.url, data=chunks()) as answer:
        assert await answer.read() == body
    async with session.put(proxy.url, data=io.BytesIO(body), expect100=True) as answer:
        assert await answer.read() == body


async def test_chunked_and_empty_answers_pass(proxy: FaultProxy, session: aiohttp.ClientSession) -> None:
    """An answer to HEAD names a length and has no body."""
    async with session.get(proxy.url + "/stream") as answer:
        assert await answer.read() == b"one two three"
    async with session.head(proxy.url + "/") as answer:
        assert answer.status == 200
    assert await post(session, proxy, "/") == b"body"


async def test_a_client_that_leaves_ends_its_request_at_the_upstream(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    """A long poll must not go on for a receiver that is dead."""
    polling = asyncio.create_task(session.get(proxy.url + "/poll"))
    await upstream.polled.wait()
    polling.cancel()

    async with asyncio.timeout(5):
        await upstream.poller_left.wait()


async def test_a_rule_chooses_by_method_path_action_and_body(proxy: FaultProxy, session: aiohttp.ClientSession) -> None:
    """Only the request that matches in all is refused, and so often as was said."""
    rule = proxy.when(
        lambda request: (
            (request.method, request.path, request.action) == ("POST", "/", "PutItem") and request.says("completed")
        )
    )
    rule.status(503, b"not now").times(1)
    headers = {"x-amz-target": "DynamoDB_20120810.PutItem"}

    statuses = []
    for body in (b"queued", b"completed", b"completed"):
        async with session.post(proxy.url + "/", data=body, headers=headers) as answer:
            statuses.append(answer.status)

    assert [200, 503, 200] == statuses
    assert rule.count == 1


async def test_latency_holds_the_request(proxy: FaultProxy, session: aiohttp.ClientSession) -> None:
    """The answer comes, later."""
    everything(proxy).latency(0.2)
    loop = asyncio.get_running_loop()
    started = loop.time()

    assert await post(session, proxy, "/") == b"body"
    assert loop.time() - started >= 0.2


async def test_cut_closes_before_the_request_arrives(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    """The upstream never hears of it."""
    everything(proxy).cut().times(1)

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await post(session, proxy, "/first")
    await post(session, proxy, "/second")
    assert ["/second"] == upstream.seen


async def test_cut_after_loses_the_answer(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    """The upstream has done it and the client does not know."""
    everything(proxy).cut_after().times(1)

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await post(session, proxy, "/first")
    assert ["/first"] == upstream.seen


async def test_reset_is_seen_as_one(upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession) -> None:
    """The client's error names the reset."""
    everything(proxy).reset().times(1)

    with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
        await post(session, proxy, "/")
    assert [] == upstream.seen


async def test_a_blackhole_answers_nothing_until_it_is_lifted(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    """One who left meanwhile has asked nothing; one who waited is answered."""
    first, second = everything(proxy).blackhole().times(1), everything(proxy).blackhole()
    with pytest.raises(TimeoutError):
        async with session.post(proxy.url + "/left", timeout=aiohttp.ClientTimeout(total=0.1)):
            pass
    await first.finished.wait()
    waiting = asyncio.create_task(post(session, proxy, "/waited"))
    await second.reached.wait()
    second.lift()

    assert await waiting == b"body"
    assert ["/waited"] == upstream.seen


async def test_throttle_and_conflict_speak_as_dynamodb_does(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    """A transaction that is refused has a reason for each of its items."""
    everything(proxy).throttle().times(1)
    everything(proxy).conflict().times(1)
    everything(proxy).throttle_transaction().times(1)
    body = json.dumps({"TransactItems": [{}, {}, {}]}).encode()

    throttled, *canceled = [json.loads(await post(session, proxy, "/", body)) for _ in range(3)]

    assert throttled["__type"].endswith("#ProvisionedThroughputExceededException")
    assert all(answer["__type"].endswith("#TransactionCanceledException") for answer in canceled)
    codes = [[reason["Code"] for reason in answer["CancellationReasons"]] for answer in canceled]
    assert [["None", "None", "TransactionConflict"], ["None", "None", "ThrottlingError"]] == codes
    assert [] == upstream.seen


async def test_callbacks_stand_before_and_after_the_upstream(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    """The one before sees nothing done, the one after sees it done and nobody told."""
    seen: list[list[str]] = []

    async def note() -> None:
        seen.append(list(upstream.seen))

    rule = everything(proxy).before(note).after(note)
    await post(session, proxy, "/")

    assert [[], ["/"]] == seen
    assert rule.finished.is_set()


async def test_a_callback_outlives_its_client(proxy: FaultProxy, session: aiohttp.ClientSession) -> None:
    """It is there to kill the client."""
    left, done = asyncio.Event(), asyncio.Event()

    async def kill() -> None:
        requesting.cancel()
        await asyncio.wait([requesting])
        left.set()
        await asyncio.sleep(0.05)
        done.set()

    rule = everything(proxy).before(kill).cut()
    requesting = asyncio.create_task(post(session, proxy, "/"))
    await rule.finished.wait()

    assert left.is_set()
    assert done.is_set()


async def test_down_cuts_everybody_off_and_up_takes_them_back(
    upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    """Requests under way are reset, new ones refused, and the address stays the same."""
    polling = asyncio.create_task(session.get(proxy.url + "/poll"))
    await upstream.polled.wait()
    await proxy.down()

    with pytest.raises(aiohttp.ClientOSError):
        await polling
    with pytest.raises(aiohttp.ClientConnectorError, match="Connect call failed"):
        await post(session, proxy, "/")
    await proxy.up()
    assert await post(session, proxy, "/") == b"body"


async def turns(number: int) -> None:
    """Let the loop go round so often."""
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.parametrize("path", ["/", "/poll"])
async def test_a_request_that_is_dropped_at_any_moment_leaves_no_connection(proxy: FaultProxy, path: str) -> None:
    """Read, dialled for, forwarded or answered: the client leaves, and while its request is taken back the proxy goes down."""
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        for before_it_leaves, before_it_is_down in itertools.product(range(24), range(8)):
            _, writer = await asyncio.open_connection(HOST, proxy._port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            await turns(before_it_leaves)
            writer.transport.abort()
            await turns(before_it_is_down)
            await proxy.down()
            assert {} == proxy._connections
            await proxy.up()
        gc.collect()

    assert [] == [str(complaint.message) for complaint in complaints]


async def test_an_upstream_that_is_gone_looks_like_a_cut(session: aiohttp.ClientSession) -> None:
    """The proxy answers nothing in its place."""
    async with FaultProxy("http://127.0.0.1:1") as proxy:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await post(session, proxy, "/")


async def test_an_error_in_a_rule_fails_the_test(session: aiohttp.ClientSession) -> None:
    """A rule that cannot decide must not look like a fault."""
    proxy = FaultProxy("http://127.0.0.1:1")
    await proxy.__aenter__()
    proxy.when(lambda request: bool(json.loads(request.body)["missing"]))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await post(session, proxy, "/", b"{}")

    with pytest.raises(ExceptionGroup, match="own code"):
        await proxy.__aexit__(None, None, None)


async def test_three_hundred_requests_a_second_leave_the_machine_free(
    proxy: FaultProxy, session: aiohttp.ClientSession
) -> None:
    """Six hundred requests by thirty clients, with the server and the client in this same process."""
    proxy.when(lambda request: request.says("never"))
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def ask_often() -> None:
        for _ in range(20):
            assert await post(session, proxy, "/", b"x" * 2000) == b"x" * 2000

    async with asyncio.TaskGroup() as group:
        for _ in range(30):
            group.create_task(ask_often())

    assert loop.time() - started < 2
