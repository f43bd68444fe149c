//! What a request gets: one test for each row of the contract's table.

use crate::support::gateway;

const ECHO: &str = "[[route]]\npath = \"/echo\"\necho = {}\n";

#[tokio::test]
async fn no_route_is_404() {
    let gateway = gateway(ECHO);
    let answer = gateway.ask("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "there is nothing at this host and path\n"));
}

#[tokio::test]
async fn all_well_is_101_and_early_frames_are_not_lost() {
    use crate::support::frames::{self, TEXT};
    use crate::support::peer::{ACCEPT, upgrade_request};
    let gateway = gateway(ECHO);
    let mut peer = gateway.connect().await;
    let mut bytes = upgrade_request("/echo", &[]).into_bytes();
    bytes.extend(frames::client(TEXT, b"early"));
    peer.send(&bytes).await;
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.header("Sec-WebSocket-Accept")), (101, Some(ACCEPT)));
    assert_eq!(peer.frame().await.text(), "early");
}
