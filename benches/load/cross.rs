//! A second opinion: our client and one by others say the same to a server, and must hear the same.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Builder;
use tokio_tungstenite::tungstenite::client::{IntoClientRequest as _, client_with_config};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use wsgate::client::dial::{Line, dial};
use wsgate::client::{self, Socket};
use wsgate::wire::frame::{self, Opcode, Role};
use wsgate::wire::head::Answer;
use wsgate::wire::inbound::{Inbound, Rules, Turn};
use wsgate::wire::offer::accept_for;

use super::worker::Aim;

/// Sizes at the edges of the frame's three forms of length, and the run's own.
fn messages(size: usize) -> Vec<String> {
    let sizes = [1, 125, 126, 4096, 65_535, 65_536, size];
    let words = "Grüße, 世界! ".chars().cycle();
    sizes.iter().map(|&size| words.clone().scan(0, |used, c| fit(used, c, size)).collect()).collect()
}

fn fit(used: &mut usize, c: char, size: usize) -> Option<char> {
    let c = if *used + c.len_utf8() > size && *used < size { '.' } else { c };
    *used += c.len_utf8();
    (*used <= size).then_some(c)
}

/// Says the same through both; how many messages came back the same.
///
/// # Errors
/// Where they differ, or what failed.
pub(crate) fn check(aim: &Arc<Aim>, url: &str, size: usize) -> Result<usize, String> {
    let messages = messages(size);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let ours = async { tokio::time::timeout(Duration::from_secs(20), ours(aim, &messages)).await };
    let ours = runtime.block_on(ours).map_err(|_| "our client waited in vain for the echo")??;
    let theirs = theirs(aim, url, &messages).map_err(|error| format!("the other client: {error}"))?;
    for ((said, ours), theirs) in messages.iter().zip(&ours).zip(&theirs) {
        if ours != theirs || ours != said.as_bytes() {
            let differ =
                |heard: &[u8]| if heard == said.as_bytes() { "heard the same" } else { "heard something else" };
            return Err(format!("of {} bytes said ours {}, the other {}", said.len(), differ(ours), differ(theirs)));
        }
    }
    Ok(messages.len())
}

async fn ours(aim: &Aim, messages: &[String]) -> Result<Vec<Vec<u8>>, String> {
    let tls = aim.tls.as_ref().map(|(handshakes, name)| (handshakes.full.clone(), name.clone()));
    let dialled = dial(&Line { to: aim.address, from: None, tls }).await;
    let (mut socket, _) = dialled.map_err(|error| format!("our client: {error:?}"))?;
    let key = client::key(client::random());
    let request = aim.places[0].request(&key, &aim.headers);
    let answer = client::upgrade(&mut socket, request.as_bytes(), &accept_for(&key), &aim.subprotocols).await;
    match answer.map_err(|error| format!("our client: {error}"))?.0 {
        Answer::Switched { .. } => {}
        Answer::Refused(refused) => return Err(format!("our client: refused with {}", refused.status)),
    }
    let mut inbound = Inbound::new(Rules { from: Role::Server, message_size: u64::MAX, utf8: true });
    let (mut heard, mut rest) = (Vec::new(), Vec::new());
    for message in messages {
        let bytes = frame::whole(Opcode::Text, message.as_bytes(), Some(client::random()));
        socket.write_all(&bytes).await.map_err(|error| format!("our client: {error}"))?;
        socket.flush().await.map_err(|error| format!("our client: {error}"))?;
        heard.push(hear(&mut socket, &mut inbound, &mut rest).await?);
    }
    Ok(heard)
}

/// One whole message.
async fn hear(socket: &mut Socket, inbound: &mut Inbound, rest: &mut Vec<u8>) -> Result<Vec<u8>, String> {
    let mut message = Vec::new();
    loop {
        let mut at = 0;
        while at < rest.len() {
            let (used, turn) = inbound.next(&rest[at..]).map_err(|violation| format!("the server: {violation}"))?;
            at += used;
            match turn {
                Turn::Payload { bytes, message_ends, .. } => {
                    message.extend_from_slice(bytes);
                    if message_ends {
                        rest.drain(..at);
                        return Ok(message);
                    }
                }
                Turn::Control(Opcode::Close) => return Err("the server closed during the cross-check".into()),
                Turn::More | Turn::Data { .. } | Turn::Control(_) => {}
            }
        }
        rest.clear();
        let count = socket.read_buf(rest).await.map_err(|error| format!("our client: {error}"))?;
        if count == 0 {
            return Err("the server ended during the cross-check".into());
        }
    }
}

type Heard = Result<Vec<Vec<u8>>, Box<dyn std::error::Error>>;

/// The other client is blocking, over rustls' own blocking stream: nothing of ours is in it but the choice of
/// certificates.
fn theirs(aim: &Aim, url: &str, messages: &[String]) -> Heard {
    let tcp = TcpStream::connect(aim.address)?;
    tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
    match &aim.tls {
        Some((handshakes, name)) => {
            let connection = rustls::ClientConnection::new(handshakes.full.config(), name.clone())?;
            talk(rustls::StreamOwned::new(connection, tcp), aim, url, messages)
        }
        None => talk(tcp, aim, url, messages),
    }
}

fn talk<S: std::io::Read + std::io::Write>(stream: S, aim: &Aim, url: &str, messages: &[String]) -> Heard {
    let mut request = url.into_client_request()?;
    for line in &aim.headers {
        let (name, value) = line.split_once(':').ok_or("a header line without a colon")?;
        let name = tungstenite::http::HeaderName::try_from(name.trim())?;
        request.headers_mut().append(name, value.trim().parse()?);
    }
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let opened = client_with_config(request, stream, Some(config));
    let (mut socket, _) = opened.map_err(|error| error.to_string())?;
    let mut heard = Vec::new();
    for message in messages {
        socket.send(Message::text(message.as_str()))?;
        loop {
            match socket.read()? {
                Message::Text(text) => break heard.push(text.as_bytes().to_vec()),
                Message::Binary(bytes) => break heard.push(bytes.to_vec()),
                _ => {}
            }
        }
    }
    let _ = socket.close(None);
    Ok(heard)
}
