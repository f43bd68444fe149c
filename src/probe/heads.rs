//! Experiments before the 101: connecting, and upgrade requests of every make.

use std::time::{Duration, Instant};

use super::answer::{Answered, software};
use super::bench::{Bench, Reply};
use super::findings::{Findings, Protocol};
use super::frames::text;
use super::line::{Heard, More};
use super::place::Approach;
use super::request::{Asked, Request};
use crate::lifecycle::clock::timeout;

/// What an experiment says; the error is why it could not be tried.
pub(super) type Verdict = Result<String, Answered>;

/// A time for people.
pub(super) fn shown(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1000 => format!("{micros} µs"),
        micros @ 1000..100_000 => format!("{:.1} ms", micros as f64 / 1000.0),
        micros => format!("{} ms", micros / 1000),
    }
}

/// Connects and leaves.
pub(super) async fn reach(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let failed = |error: std::io::Error| Answered::NoConnection(error.to_string());
    bench.place.resolve().await.map_err(failed)?;
    findings.loopback = bench.place.is_loopback();
    let start = Instant::now();
    let line = timeout(bench.limit, bench.place.connect(Approach::default())).await;
    let line = line.map_err(|_| Answered::Silent)?.map_err(failed)?;
    let took = start.elapsed();
    line.leave().await;
    Ok(format!("connected in {}", shown(took)))
}

/// The canonical upgrade; learns the server's name and whether it speaks first.
pub(super) async fn upgrade(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let Reply { answered, line, head, took } = bench.ask(&bench.request(), Approach::default()).await;
    let Some(mut line) = line else { return Err(answered) };
    bench.learn(took);
    findings.software = software(&head);
    let until = tokio::time::Instant::now() + bench.quiet;
    findings.greets = matches!(line.frame(until).await, Heard::Frame(_));
    line.leave().await;
    let name = findings.software.as_ref().map(|name| format!("; it calls itself {name}")).unwrap_or_default();
    let greets = if findings.greets { "; it speaks first" } else { "" };
    Ok(format!("101 with the right accept value in {}{name}{greets}", shown(took)))
}

/// Offers a subprotocol.
pub(super) async fn protocol(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let answered = tried(bench, &bench.request().offering("chat")).await;
    let (fact, said) = match &answered {
        Answered::Right { protocol: Some(_) } => (Protocol::Chosen, "accepted and named in the 101".to_owned()),
        Answered::Right { protocol: None } => {
            (Protocol::Ignored, "accepted, but not named in the 101: browsers that offer one give up".to_owned())
        }
        other => (Protocol::Refused, other.to_string()),
    };
    findings.protocol = Some(fact);
    Ok(said)
}

/// Offers permessage-deflate.
pub(super) async fn extension(bench: &mut Bench) -> Verdict {
    let request = bench.request().with("Sec-WebSocket-Extensions: permessage-deflate");
    Ok(match tried(bench, &request).await {
        Answered::Right { .. } => "ignored, as is its right".to_owned(),
        Answered::Extended => "accepted: it compresses".to_owned(),
        other => other.to_string(),
    })
}

/// Asks for another host.
pub(super) async fn other_host(bench: &mut Bench) -> Verdict {
    let asked = Asked { host: "probe.invalid".to_owned(), ..bench.asked.clone() };
    Ok(tried(bench, &Request::canonical(&asked)).await.to_string())
}

/// Asks for another path.
pub(super) async fn other_path(bench: &mut Bench) -> Verdict {
    let asked = Asked { target: "/wsgate-probe".to_owned(), ..bench.asked.clone() };
    Ok(tried(bench, &Request::canonical(&asked)).await.to_string())
}

/// Says no Origin.
pub(super) async fn no_origin(bench: &mut Bench) -> Verdict {
    let asked = Asked { origin: None, ..bench.asked.clone() };
    Ok(tried(bench, &Request::canonical(&asked)).await.to_string())
}

/// A request whose answer is all that matters.
pub(super) async fn variant(bench: &mut Bench, change: fn(Request) -> Request) -> Verdict {
    let answered = tried(bench, &change(bench.request())).await;
    Ok(match answered.is_right() {
        true => "accepted".to_owned(),
        false => format!("{answered}: the request must be written to the letter and at once"),
    })
}

async fn tried(bench: &Bench, request: &Request) -> Answered {
    let reply = bench.ask(request, Approach::default()).await;
    if let Some(line) = reply.line {
        line.leave().await;
    }
    reply.answered
}

/// A message in the same write as the request.
pub(super) async fn early(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let words = bench.words();
    let request = bench.request().followed_by(&text(&words));
    let reply = bench.ask(&request, Approach::default()).await;
    let mut guest = reply.line.ok_or(reply.answered)?;
    let came = bench.carries(&mut guest, &[], words).await;
    guest.leave().await;
    findings.early = Some(came);
    Ok(if came { "it arrives" } else { "lost: nothing may be sent before the 101" }.to_owned())
}

/// A plain GET, as health checks send it.
pub(super) async fn plain_get(bench: &mut Bench) -> Verdict {
    let mut line = match timeout(bench.limit, bench.place.connect(Approach::default())).await {
        Ok(Ok(line)) => line,
        Ok(Err(error)) => return Err(Answered::NoConnection(error.to_string())),
        Err(_) => return Err(Answered::Silent),
    };
    let get = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", bench.asked.target, bench.asked.host);
    line.send(get.as_bytes(), bench.limit).await;
    let until = tokio::time::Instant::now() + bench.quiet;
    let answered = loop {
        let more = line.more(until).await;
        let over = more != More::Came;
        match Answered::read(&line.bytes, "", &[], over) {
            Some((Answered::Closed, _)) if more == More::Quiet => break Answered::Silent,
            Some((answered, _)) => break answered,
            None => {}
        }
    };
    line.leave().await;
    Ok(match answered {
        Answered::WrongAccept | Answered::Right { .. } => "answered with 101, and kept like a client".to_owned(),
        Answered::Silent => "no answer: it waits for more, and keeps the connection".to_owned(),
        answered => answered.to_string(),
    })
}
