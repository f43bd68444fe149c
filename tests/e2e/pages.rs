//! Ordinary HTTP that is passed on: what goes through, what stays, and what no two parties may read differently.

use std::time::Duration;

use crate::support::backend::Backend;
use crate::support::frames::TEXT;
use crate::support::tls::{acceptor, authority, leaf};
use crate::support::{Answer, Peer, Running, gateway, within};

/// Everything goes to this backend, with `more` in the `http` table and `beside` at the end.
fn site(url: &str, more: &str, beside: &str) -> String {
    format!(
        "workers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/\"\nhttp = {{ pool = \"web\", {more} }}\n\
         [pool.web]\nbackends = [\"{url}\"]\n{beside}"
    )
}

/// A gateway before a backend in the test's own hands.
async fn before(more: &str) -> (Running, Backend) {
    let backend = Backend::bind().await;
    (gateway(&site(&http(&backend), more, "")), backend)
}

fn http(backend: &Backend) -> String {
    backend.url().replace("ws://", "http://")
}

fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n{lines}\r\n")
}

fn post(lines: &str) -> String {
    format!("POST /form HTTP/1.1\r\nHost: test.example\r\n{lines}\r\n")
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One request that is answered with [`OK`]; the backend's connection, what it saw, and the client's.
async fn exchange(gateway: &Running, backend: &Backend, request: &str) -> (Peer, String, Peer) {
    let mut client = gateway.connect().await;
    client.send(request.as_bytes()).await;
    let mut served = backend.accept().await;
    let head = served.head().await;
    served.send(OK).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{answer:?}");
    (served, head, client)
}

/// A refusal of the gateway's own.
async fn refused(client: &mut Peer, status: u16, line: &str) -> Answer {
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.trim_end()), (status, line), "{answer:?}");
    answer
}

// What goes through.

#[tokio::test]
async fn a_request_goes_on_without_what_means_one_hop_and_with_what_is_known_of_the_client() {
    let (gateway, backend) = before("").await;
    let lines = "User-Agent: t\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nTE: trailers\r\n\
                 Proxy-Authorization: Basic x\r\nProxy: evil\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n\
                 Cookie: a=b\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    let (_, head, _) = exchange(&gateway, &backend, &get("/a//b?c=%20d", lines)).await;
    let mut seen: Vec<&str> = head.trim_end().lines().collect();
    assert_eq!(seen.remove(0), "GET /a//b?c=%20d HTTP/1.1");
    seen.sort_unstable();
    let expected = [
        "Cookie: a=b",
        "Forwarded: for=127.0.0.1;host=\"test.example\";proto=http",
        "Host: test.example",
        "User-Agent: t",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Host: test.example",
        "X-Forwarded-Proto: http",
        "X-Real-Ip: 127.0.0.1",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_prefix_is_taken_off_where_the_owner_wishes() {
    let backend = Backend::bind().await;
    let config = site(&http(&backend), "strip_prefix = true", "").replace("path = \"/\"", "path = \"/app\"");
    let gateway = gateway(&config);
    let (_, head, _) = exchange(&gateway, &backend, &get("/app/x?y", "")).await;
    assert!(head.starts_with("GET /x?y HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn connections_are_kept_on_both_sides_and_bodies_have_one_of_their_own() {
    let (gateway, backend) = before("").await;
    let (mut served, _, mut client) = exchange(&gateway, &backend, &get("/1", "")).await;
    client.send(get("/2", "").as_bytes()).await;
    assert!(served.head().await.starts_with("GET /2 "));
    served.send(OK).await;
    assert_eq!(client.answer().await.status, 200);
    // A POST cannot be repeated, so that it must not meet a connection that is about to be closed.
    client.send(format!("{}hello{}", post("Content-Length: 5\r\n"), get("/3", "")).as_bytes()).await;
    let mut own = backend.accept().await;
    assert!(own.head().await.contains("\r\nContent-Length: 5\r\n"));
    assert_eq!(own.read_exact(5).await, b"hello");
    own.send(OK).await;
    assert_eq!(client.answer().await.status, 200);
    // What stood behind the body is the next request, and goes on the connection that was needed last.
    assert!(own.head().await.starts_with("GET /3 "));
    own.send(OK).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn as_many_connections_are_kept_as_the_owner_says() {
    let (gateway, backend) = before("idle_connections = 0").await;
    let (mut served, _, mut client) = exchange(&gateway, &backend, &get("/", "")).await;
    served.end().await;
    client.send(get("/", "").as_bytes()).await;
    backend.accept().await.head().await;
}

#[tokio::test]
async fn a_get_on_a_kept_connection_that_was_closed_is_asked_again() {
    let (gateway, backend) = before("").await;
    let (mut served, _, mut client) = exchange(&gateway, &backend, &get("/1", "")).await;
    client.send(get("/2", "").as_bytes()).await;
    // It was still open when the request went; nothing of an answer has come.
    served.head().await;
    drop(served);
    let mut again = backend.accept().await;
    assert!(again.head().await.starts_with("GET /2 "));
    // On a new connection it is not asked a third time.
    drop(again);
    refused(&mut client, 502, "the backend gave no sound answer").await;
}

#[tokio::test]
async fn chunks_pass_as_they_come_in_both_directions_and_trailers_do_not() {
    let (gateway, backend) = before("").await;
    let mut client = gateway.connect().await;
    client.send(format!("{}3\r\nabc\r\n", post("Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n")).as_bytes()).await;
    let mut served = backend.accept().await;
    let head = served.head().await;
    assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n") && !head.contains("Trailer"), "{head}");
    assert_eq!(served.read_exact(8).await, b"3\r\nabc\r\n");
    client.send(b"2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n").await;
    assert_eq!(served.read_exact(12).await, b"2\r\nde\r\n0\r\n\r\n");
    served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nwxyz\r\n").await;
    let head = client.head().await;
    assert!(head.contains("transfer-encoding: chunked\r\n") && !head.contains("railer"), "{head}");
    assert_eq!(client.read_exact(9).await, b"4\r\nwxyz\r\n");
    served.send(b"1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n").await;
    assert_eq!(client.read_exact(11).await, b"1\r\n!\r\n0\r\n\r\n");
    client.send(get("/next", "").as_bytes()).await;
    assert!(served.head().await.starts_with("GET /next "));
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_its_connection() {
    let (gateway, backend) = before("").await;
    for (version, framed) in [("1.1", "2\r\nhi\r\n0\r\n\r\n"), ("1.0", "hi")] {
        let mut client = gateway.connect().await;
        client.send(format!("GET / HTTP/{version}\r\nHost: test.example\r\n\r\n").as_bytes()).await;
        let mut served = backend.accept().await;
        served.head().await;
        served.send(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nhi").await;
        drop(served);
        assert!(client.head().await.contains("server: old\r\n"));
        assert_eq!(client.read_exact(framed.len()).await, framed.as_bytes());
    }
}

#[tokio::test]
async fn head_and_304_have_a_length_and_no_body() {
    let (gateway, backend) = before("").await;
    let mut client = gateway.connect().await;
    client.send(get("/", "").replace("GET", "HEAD").as_bytes()).await;
    let mut served = backend.accept().await;
    assert!(served.head().await.starts_with("HEAD / "));
    served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
    assert!(client.head().await.contains("content-length: 1000\r\n"));
    client.send(get("/", "If-None-Match: \"a\"\r\n").as_bytes()).await;
    assert!(served.head().await.contains("If-None-Match: \"a\"\r\n"));
    served.send(b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 1000\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 304 ") && head.contains("etag: \"a\"\r\n"), "{head}");
    client.send(get("/", "").as_bytes()).await;
    served.head().await;
    served.send(OK).await;
    assert_eq!(client.answer().await.body, "ok");
}

#[tokio::test]
async fn who_expects_100_gets_it_when_the_body_is_wanted() {
    let (gateway, backend) = before("body = \"1KiB\"").await;
    let mut client = gateway.connect().await;
    client.send(post("Content-Length: 5\r\nExpect: 100-continue\r\n").as_bytes()).await;
    let mut served = backend.accept().await;
    assert!(!served.head().await.contains("Expect"));
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"hello").await;
    assert_eq!(served.read_exact(5).await, b"hello");
    served.send(OK).await;
    assert_eq!(client.answer().await.status, 200);
    // Not wanted at all.
    client.send(post("Content-Length: 1025\r\nExpect: 100-continue\r\n").as_bytes()).await;
    refused(&mut client, 413, "the request body is too large").await;
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_has_ended() {
    let (gateway, backend) = before("").await;
    let mut client = gateway.connect().await;
    client.send(format!("{}abc", post("Content-Length: 100000\r\n")).as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    served.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n").await;
    assert_eq!((client.answer().await.status), 403);
    // Nobody reads the rest of it, so nothing can follow.
    client.clean_end().await;
    assert_eq!(served.rest().await, b"abc");
}

#[tokio::test]
async fn a_connection_that_has_passed_pages_may_still_become_a_websocket() {
    let (web, chat) = (Backend::bind().await, Backend::bind().await);
    let gateway = gateway(&format!(
        "[[route]]\npath = \"/\"\nhttp = {{ pool = \"web\" }}\nproxy = {{ pool = \"chat\" }}\n\
         [pool.web]\nbackends = [\"{}\"]\n[pool.chat]\nbackends = [\"{}\"]\n",
        http(&web),
        chat.echo()
    ));
    let (_, _, mut client) = exchange(&gateway, &web, &get("/", "")).await;
    client.send(format!("{}3\r\nabc\r\n0\r\n\r\n", post("Transfer-Encoding: chunked\r\n")).as_bytes()).await;
    let mut served = web.accept().await;
    served.head().await;
    served.read_exact(13).await;
    served.send(OK).await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(client.upgrade("/", &[]).await.status, 101);
    client.say("hello").await;
    let echoed = client.message().await;
    assert_eq!((echoed.opcode, echoed.text()), (TEXT, "hello"));
}

#[tokio::test]
async fn a_backend_may_speak_tls() {
    let backend = Backend::bind().await;
    let folder = crate::support::tls::Folder::new();
    let ca = authority("authority", None);
    let made = leaf(&["localhost"], Some(&ca));
    let ca = folder.write("ca.pem", &ca.pem);
    let url = format!("https://localhost:{}", backend.address.port());
    let gateway = gateway(&site(&url, "", &format!("ca = {:?}\n", ca.display().to_string())));
    let mut client = gateway.connect().await;
    client.send(get("/", "").as_bytes()).await;
    let stream = within("a connection", backend.raw()).await;
    let mut served = Peer::new(within("TLS", acceptor(&made).accept(stream)).await.expect("TLS"));
    assert!(served.head().await.contains("Host: test.example\r\n"));
    served.send(OK).await;
    assert_eq!(client.answer().await.body, "ok");
}

// What no two parties may read differently.

#[tokio::test]
async fn what_smuggles_a_request_past_one_of_two_parsers_reaches_no_backend() {
    let (gateway, backend) = before("").await;
    let smuggled = get("/admin", "");
    for (lines, reason) in [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "a length and a transfer coding"),
        ("Content-Length: 0\r\nContent-Length: 4\r\n", "two lengths"),
        ("Content-Length: 4, 4\r\n", "a list of lengths"),
        ("Transfer-Encoding: chunked, identity\r\n", "an unknown coding"),
        ("Transfer-Encoding: xchunked\r\n", "an unknown coding"),
        ("Transfer-Encoding : chunked\r\n", "a space before the colon"),
        ("X: a\r\n Transfer-Encoding: chunked\r\n", "a folded line"),
        ("X: a\nTransfer-Encoding: chunked\r\n", "a bare LF"),
        ("Content-Length: +4\r\n", "a sign"),
    ] {
        let mut client = gateway.connect().await;
        client.send(format!("{}0\r\n\r\n{smuggled}", post(lines)).as_bytes()).await;
        assert_eq!(client.answer().await.status, 400, "{reason}");
        // Its one answer is its last.
        client.end().await;
    }
    // Had any of them come through, this would not be the first connection.
    let (_, head, _) = exchange(&gateway, &backend, &get("/first", "")).await;
    assert!(head.starts_with("GET /first "));
}

#[tokio::test]
async fn a_bad_chunk_ends_the_request_and_nothing_behind_it_is_one() {
    let (gateway, backend) = before("").await;
    let smuggled = get("/admin", "");
    for bad in
        ["x\r\n", "3 \r\nabc\r\n", "3\nabc\r\n", "3\r\nabcd\r\n", "0x3\r\nabc\r\n", "fffffffffffffffff\r\n", "3;\0\r\n"]
    {
        let mut client = gateway.connect().await;
        client.send(format!("{}{bad}0\r\n\r\n{smuggled}", post("Transfer-Encoding: chunked\r\n")).as_bytes()).await;
        refused(&mut client, 400, "the request body is not sound").await;
        client.end().await;
        let mut served = backend.accept().await;
        let rest = String::from_utf8(served.rest().await).expect("text");
        assert!(!rest.contains("admin") && !rest.contains("0\r\n\r\n"), "{bad:?} became {rest:?}");
    }
    gateway.until_metric("wsgate_requests_refused_total{reason=\"body_unsound\"}", 7.0).await;
}

#[tokio::test]
async fn what_a_backend_says_unsoundly_is_no_answer() {
    let (gateway, backend) = before("answer_head = \"8KiB\"").await;
    for answer in [
        "hello\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(9000)),
        String::new(),
    ] {
        let mut client = gateway.connect().await;
        client.send(post("Content-Length: 0\r\n").as_bytes()).await;
        let mut served = backend.accept().await;
        assert!(served.head().await.contains("\r\nContent-Length: 0\r\n"));
        let _ = served.try_send(answer.as_bytes()).await;
        drop(served);
        refused(&mut client, 502, "the backend gave no sound answer").await;
        // Nothing is wrong with the client's connection.
        client.send(get("/", "").as_bytes()).await;
        let mut served = backend.accept().await;
        served.head().await;
        served.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(client.answer().await.body, "ok", "{answer}");
    }
}

#[tokio::test]
async fn methods_that_show_the_backends_request_are_refused() {
    let (gateway, _backend) = before("").await;
    let answer = gateway.ask(&get("/", "").replace("GET", "TRACE")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")));
    let answer = gateway.ask(&crate::support::peer::upgrade_request("/", &[])).await;
    assert_eq!(answer.status, 404, "no WebSocket lives here");
}

// Ends, times and bounds.

#[tokio::test]
async fn a_client_that_goes_takes_its_request_along() {
    let (gateway, backend) = before("").await;
    let mut client = gateway.connect().await;
    client.send(get("/slow", "").as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    drop(client);
    served.end().await;
    let mut client = gateway.connect().await;
    client.send(format!("{}abc", post("Content-Length: 100\r\n")).as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    drop(client);
    assert_eq!(served.rest().await, b"abc");
    let mut client = gateway.connect().await;
    client.send(get("/endless", "").as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc").await;
    client.head().await;
    drop(client);
    served.end().await;
}

#[tokio::test]
async fn a_backend_that_goes_is_502_or_a_cut() {
    let (gateway, backend) = before("").await;
    let mut client = gateway.connect().await;
    client.send(get("/", "").as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc").await;
    client.head().await;
    assert_eq!(client.read_exact(3).await, b"abc");
    drop(served);
    client.end().await;
    let mut client = gateway.connect().await;
    client.send(get("/", "").as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.head().await;
    assert_eq!(client.read_exact(8).await, b"3\r\nabc\r\n");
    drop(served);
    // Without a last chunk: nobody takes it for whole.
    client.end().await;
    drop(backend);
    let mut client = gateway.connect().await;
    client.send(get("/", "").as_bytes()).await;
    refused(&mut client, 502, "the backend could not be reached").await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_504() {
    let (gateway, backend) = before("answer_timeout = \"100ms\"").await;
    let mut client = gateway.connect().await;
    client.send(format!("{}hello", post("Content-Length: 5\r\n")).as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    refused(&mut client, 504, "the backend did not answer in time").await;
    assert_eq!(served.rest().await, b"hello");
}

#[tokio::test]
async fn a_body_that_stands_still_is_408_and_an_answer_is_cut() {
    let (gateway, backend) = before("body_timeout = \"100ms\"").await;
    let mut client = gateway.connect().await;
    client.send(format!("{}abc", post("Content-Length: 100\r\n")).as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    refused(&mut client, 408, "the request body took too long").await;
    client.end().await;
    let mut client = gateway.connect().await;
    client.send(get("/", "").as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc").await;
    client.head().await;
    assert_eq!(client.rest().await, b"abc");
    served.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_waited_for_within_bounds_and_cut() {
    let (gateway, backend) = before("body_timeout = \"600ms\"").await;
    let mut client = gateway.connect().await;
    client.send(get("/", "").as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
    let taken = served.flood(&[b'x'; 65_536]).await;
    // The kernel's buffers on both sides, and a little of the gateway's.
    assert!(taken < 32 << 20, "{taken} bytes for a client that does not read");
    let _ = within("the end of the backend's connection", served.rest()).await;
    drop(client);
}

#[tokio::test]
async fn a_body_over_its_bound_is_413() {
    let (gateway, backend) = before("body = \"1KiB\"").await;
    let mut client = gateway.connect().await;
    client.send(post("Content-Length: 1025\r\n").as_bytes()).await;
    refused(&mut client, 413, "the request body is too large").await;
    client.end().await;
    let mut client = gateway.connect().await;
    let chunk = format!("400\r\n{}\r\n", "a".repeat(1024));
    client.send(format!("{}{chunk}", post("Transfer-Encoding: chunked\r\n")).as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    served.read_exact(chunk.len()).await;
    client.send(b"1\r\na\r\n").await;
    refused(&mut client, 413, "the request body is too large").await;
    served.end().await;
}

#[tokio::test]
async fn requests_at_once_are_bounded() {
    let (gateway, backend) = before("at_once = 1").await;
    let mut first = gateway.connect().await;
    first.send(get("/", "").as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    let mut second = gateway.connect().await;
    second.send(get("/", "").as_bytes()).await;
    let answer = refused(&mut second, 503, "there is no room for more connections here").await;
    assert_eq!(answer.header("retry-after"), Some("5"));
    served.send(OK).await;
    assert_eq!(first.answer().await.body, "ok");
    within("a free place", async {
        loop {
            second.send(get("/", "").as_bytes()).await;
            tokio::select! {
                head = served.head() => break assert!(head.starts_with("GET / ")),
                answer = second.answer() => assert_eq!(answer.status, 503),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_may_take_longer_than_a_head_and_the_next_head_has_its_time_again() {
    let backend = Backend::bind().await;
    let gateway = gateway(&format!("handshake_timeout = \"150ms\"\n{}", site(&http(&backend), "", "")));
    let mut client = gateway.connect().await;
    client.send(get("/", "").as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    let mut pause = tokio::time::interval(Duration::from_millis(500));
    pause.tick().await;
    pause.tick().await;
    served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab").await;
    client.head().await;
    assert_eq!(client.read_exact(2).await, b"ab");
    pause.tick().await;
    served.send(b"cd").await;
    assert_eq!(client.read_exact(2).await, b"cd");
    client.send(get("/", "").as_bytes()).await;
    served.head().await;
    served.send(OK).await;
    assert_eq!(client.answer().await.body, "ok");
    // Nothing is asked any more.
    client.clean_end().await;
}

#[tokio::test]
async fn a_drain_waits_for_answers_and_takes_no_further_requests() {
    let (gateway, backend) = before("").await;
    let mut client = gateway.connect().await;
    client.send(get("/", "").as_bytes()).await;
    let mut served = backend.accept().await;
    served.head().await;
    served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab").await;
    client.head().await;
    gateway.handle.drain();
    assert_eq!(client.read_exact(2).await, b"ab");
    served.send(b"cd").await;
    assert_eq!(client.read_exact(2).await, b"cd");
    client.clean_end().await;
    drop(client);
    within("the end of the drain", gateway.handle.reached(wsgate::Phase::Stopped)).await;
    assert_eq!(gateway.stop().cut, 0);
}

#[tokio::test]
async fn auth_stands_before_pages_too() {
    let (server, backend) = (Backend::bind().await, Backend::bind().await);
    let url = http(&server);
    let auth = format!("[route.auth]\nkind = \"request\"\nurl = \"{url}/auth\"\nheaders = [\"X-User\"]\n");
    let config = site(&http(&backend), "", "").replace("[pool.web]", &format!("{auth}[pool.web]"));
    let gateway = gateway(&config);
    let mut client = gateway.connect().await;
    client.send(get("/", "X-User: root\r\nX_User: root\r\n").as_bytes()).await;
    let mut asked = server.accept().await;
    asked.head().await;
    asked.send(b"HTTP/1.1 200 OK\r\nX-User: anna\r\nContent-Length: 0\r\n\r\n").await;
    let mut served = backend.accept().await;
    let head = served.head().await;
    assert!(head.contains("\r\nX-User: anna\r\n") && !head.contains("root"), "{head}");
    served.send(OK).await;
    assert_eq!(client.answer().await.body, "ok");
    client.send(get("/", "").as_bytes()).await;
    asked.head().await;
    asked.send(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 3\r\n\r\nno\n").await;
    let answer = refused(&mut client, 401, "no").await;
    assert_eq!(answer.header("www-authenticate"), Some("Basic"));
}

// A real site.

const INDEX: &str = r#"<?php
if ($_SERVER["REQUEST_METHOD"] === "POST") {
    echo md5(file_get_contents("php://input"));
    return;
}
setcookie("b", "2");
$said = [$_SERVER["HTTP_HOST"], $_SERVER["HTTP_X_FORWARDED_FOR"], $_SERVER["REQUEST_URI"], $_COOKIE["a"] ?? ""];
echo implode(" ", $said), isset($_SERVER["HTTP_PROXY"]) ? " httpoxy" : "";
"#;

/// PHP's own server cannot be asked which port it has taken.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

#[tokio::test]
async fn a_site_of_php_is_served() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("index.php"), INDEX).expect("write");
    std::fs::write(folder.path().join("large.txt"), "a line\n".repeat(100_000)).expect("write");
    let address = format!("127.0.0.1:{}", free_port());
    let mut php = tokio::process::Command::new("php");
    php.args(["-q", "-S", &address, "-t"]).arg(folder.path()).stderr(std::process::Stdio::null()).kill_on_drop(true);
    let _php = php.spawn().expect("php is needed: apt-get install php-cli");
    let gateway = gateway(&site(&format!("http://{address}"), "", ""));
    let page = get("/deep/page?q=1", "Cookie: a=1\r\nProxy: evil\r\n");
    let answer = within("PHP", async {
        loop {
            let answer = gateway.ask(&page).await;
            if answer.status != 502 {
                break answer;
            }
        }
    })
    .await;
    assert_eq!((answer.status, answer.header("set-cookie")), (200, Some("b=2")), "{answer:?}");
    let mut client = gateway.connect().await;
    // On one connection of the client's; PHP's server closes each of its own.
    client.send(get("/large.txt", "").as_bytes()).await;
    assert_eq!(client.answer().await.body.len(), 700_000);
    client.send(page.as_bytes()).await;
    let head = client.head().await;
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    let said = "test.example 127.0.0.1 /deep/page?q=1 1";
    let framed = format!("{:X}\r\n{said}\r\n0\r\n\r\n", said.len());
    assert_eq!(String::from_utf8(client.read_exact(framed.len()).await).expect("text"), framed);
    let body = "hello ".repeat(200_000);
    client.send(format!("{}{body}", post(&format!("Content-Length: {}\r\n", body.len()))).as_bytes()).await;
    client.head().await;
    let hash = "20\r\ncb79cf0d3e0116cec395587cf5a697fc\r\n";
    assert_eq!(client.read_exact(hash.len()).await, hash.as_bytes());
}
