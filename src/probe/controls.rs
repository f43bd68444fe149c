//! Experiments with control frames: ping, pong and close.

use std::time::{Duration, Instant};

use super::bench::{Bench, gather};
use super::findings::{Audience, Closing, Control, Findings};
use super::frames::{Frame, whole};
use super::heads::{Verdict, shown};
use super::line::{Heard, Line, More};
use crate::lifecycle::clock as time;
use crate::wire::close::{Close, Code};
use crate::wire::frame::Opcode;

/// The least time a close has to be answered.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends a ping.
pub(super) async fn ping(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let mut guest = bench.guest().await?;
    let (words, start) = (bench.words(), Instant::now());
    guest.send(&whole(Opcode::Ping, words.as_bytes()), bench.limit).await;
    let frames = answers(bench, &mut guest, &words).await;
    let took = start.elapsed();
    let pong = frames.iter().find(|frame| frame.is(Opcode::Pong));
    let (fact, said) = match pong {
        Some(pong) if pong.payload == words.as_bytes() => {
            (Control::Lawful, format!("answered by a pong in {}", shown(took)))
        }
        Some(_) => (Control::WrongPong, "answered by a pong with another payload".to_owned()),
        None => astray(bench, &mut guest, &frames, &words).await,
    };
    guest.leave().await;
    findings.ping = Some(fact);
    Ok(said)
}

/// Sends a pong that nobody has asked for.
pub(super) async fn pong(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let mut guest = bench.guest().await?;
    let words = bench.words();
    guest.send(&whole(Opcode::Pong, words.as_bytes()), bench.limit).await;
    let frames = answers(bench, &mut guest, &words).await;
    let (fact, said) = match astray(bench, &mut guest, &frames, &words).await {
        (Control::Nothing, _) => (Control::Lawful, "ignored, as it should be".to_owned()),
        other => other,
    };
    guest.leave().await;
    findings.pong = Some(fact);
    Ok(said)
}

async fn answers(bench: &Bench, guest: &mut Line, words: &str) -> Vec<Frame> {
    let enough = |frames: &[Frame]| frames.iter().any(|frame| frame.is(Opcode::Pong) || frame.says(words));
    gather(guest, (bench.quiet, bench.limit), enough).await
}

/// Whether it was taken for a message, which others may have heard.
async fn astray(bench: &mut Bench, guest: &mut Line, frames: &[Frame], words: &str) -> (Control, String) {
    let heard = |frames: &[Frame]| frames.iter().any(|frame| frame.says(words));
    let times = (bench.quiet, bench.limit);
    let elsewhere = bench.audience == Audience::Others;
    if heard(frames) || elsewhere && heard(&gather(bench.ear(guest), times, heard).await) {
        return (Control::Message, "taken for a message: users see it as text".to_owned());
    }
    match guest.is_over().await {
        true => (Control::Closed, "its sender is cut off".to_owned()),
        false => (Control::Nothing, "not answered".to_owned()),
    }
}

/// Says goodbye.
pub(super) async fn close(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let mut guest = bench.guest().await?;
    let start = Instant::now();
    let payload = Close::new(Code::NORMAL, "").payload();
    guest.send(&whole(Opcode::Close, &payload), bench.limit).await;
    let until = time::Instant::now() + bench.quiet.max(PATIENCE);
    let (fact, said) = loop {
        match guest.frame(until).await {
            Heard::Frame(frame) if frame.is(Opcode::Close) => {
                let code = frame.code().map_or("no code".to_owned(), |code| code.to_string());
                let took = shown(start.elapsed());
                break (Closing::Answered, format!("answered with {code} in {took}{}", end(&mut guest).await));
            }
            Heard::Frame(_) => {}
            Heard::Over => break (Closing::Cut, "TCP is ended, without a close in return".to_owned()),
            Heard::Quiet => {
                break (Closing::Ignored, "not answered: the connection stays, and keeps receiving".to_owned());
            }
        }
    };
    guest.leave().await;
    findings.close = Some(fact);
    Ok(said)
}

/// RFC 6455 §7.1.1: the server should end TCP first.
async fn end(guest: &mut Line) -> &'static str {
    let until = time::Instant::now() + PATIENCE;
    loop {
        guest.bytes.clear();
        match guest.more(until).await {
            More::Came => {}
            More::Over => return ", and TCP ended",
            More::Quiet => return ", but TCP is left open",
        }
    }
}
