//! Experiments with messages: who hears them, and in which shapes of frames and segments they arrive.

use super::answer::Answered;
use super::bench::{Bench, count, gather};
use super::findings::{Audience, Findings, Fragments, Passage};
use super::frames::{boundless, fragment, long_form, text, unmasked, whole};
use super::heads::{Verdict, shown};
use super::line::Line;
use crate::wire::frame::Opcode;

/// Messages that keep the server busy while others come, at most.
const CROWD: u128 = 20;

/// Who hears a message: its sender, another, both, nobody. From here on somebody watches.
pub(super) async fn audience(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    bench.watch().await?;
    let mut guest = bench.guest().await?;
    let words = bench.words();
    guest.send(&text(&words), bench.limit).await;
    let (audience, took) = bench.who_hears(&mut guest, &words).await;
    guest.leave().await;
    findings.audience = Some(audience);
    Ok(match audience {
        Audience::Sender => format!("echo: the sender alone hears it, after {}", shown(took)),
        Audience::Everyone => format!("broadcast to everybody, the sender too, after {}", shown(took)),
        Audience::Others => format!("broadcast to everybody but the sender, after {}", shown(took)),
        Audience::Nobody => "silent: nobody hears a plain message, so what arrives cannot be seen".to_owned(),
    })
}

/// Two and five frames, each time in one segment.
pub(super) async fn glued(bench: &mut Bench, findings: &mut Findings, frames: usize) -> Verdict {
    let mut guest = bench.guest().await?;
    let words: Vec<String> = (0..frames).map(|_| bench.words()).collect();
    let bytes: Vec<u8> = words.iter().flat_map(|words| text(words)).collect();
    guest.send(&bytes, bench.limit).await;
    let came = count(&bench.listen(&mut guest, &words).await, &words);
    guest.leave().await;
    findings.glued = Some(findings.glued != Some(false) && came == frames);
    Ok(arrived(came, frames))
}

fn arrived(came: usize, sent: usize) -> String {
    match came {
        _ if came == sent => format!("{came} of {sent} arrive"),
        _ => format!("{came} of {sent} arrive: it decodes one frame for each read"),
    }
}

/// A frame in two segments.
pub(super) async fn split(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let mut guest = bench.guest().await?;
    let words = bench.words();
    let mut first = text(&words);
    let second = first.split_off(first.len() / 2);
    bench.send_pieces(&mut guest, &[first, second]).await;
    let came = bench.carries(&mut guest, &[], words).await;
    guest.leave().await;
    findings.split = Some(came);
    Ok(if came { "it arrives" } else { "lost: it takes each read for a whole frame" }.to_owned())
}

/// Five frames, each in a write of its own, while another client's messages are on their way.
pub(super) async fn busy(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let mut guest = bench.guest().await?;
    let mut crowd = bench.guest().await?;
    // Not so many that a slow server keeps the others waiting beyond the silence that means something.
    let few = bench.quiet.as_micros() / bench.trip.as_micros().max(1) / 2;
    for _ in 0..few.clamp(1, CROWD) {
        let words = bench.words();
        crowd.send(&text(&words), bench.limit).await;
    }
    let words: Vec<String> = (0..5).map(|_| bench.words()).collect();
    for words in &words {
        guest.send(&text(words), bench.limit).await;
    }
    let came = count(&bench.listen(&mut guest, &words).await, &words);
    guest.leave().await;
    crowd.leave().await;
    findings.busy = Some(came == words.len());
    Ok(arrived(came, words.len()))
}

/// A message in two fragments; `ping`: with a ping in between.
pub(super) async fn fragments(bench: &mut Bench, findings: &mut Findings, ping: bool) -> Verdict {
    let mut guest = bench.guest().await?;
    let (first, second) = (bench.words(), bench.words());
    let mut pieces = vec![fragment(Opcode::Text, false, first.as_bytes())];
    if ping {
        pieces.push(whole(Opcode::Ping, b"between"));
    }
    pieces.push(fragment(Opcode::Continuation, true, second.as_bytes()));
    bench.send_pieces(&mut guest, &pieces).await;
    let (both, words) = (format!("{first}{second}"), [first, second]);
    let quiet = (bench.quiet, bench.limit);
    let frames = gather(bench.ear(&mut guest), quiet, |frames| {
        frames.iter().any(|frame| frame.says(&both)) || count(frames, &words) == 2
    });
    let frames = frames.await;
    guest.leave().await;
    let says = |words: &str| frames.iter().any(|frame| frame.says(words));
    let (fact, said) = match (says(&both), says(&words[0]), says(&words[1])) {
        (true, ..) => (Fragments::Whole, "put together"),
        (_, true, true) => (Fragments::Pieces, "each piece is taken for a message"),
        (_, true, false) => (Fragments::First, "the first piece is taken for a message, the rest is lost"),
        (_, false, _) => (Fragments::Lost, "it is lost, or damaged"),
    };
    let place = if ping { &mut findings.interrupted } else { &mut findings.fragments };
    *place = Some(fact);
    Ok(said.to_owned())
}

/// A binary message, of bytes that are text as well: others are shown it.
pub(super) async fn binary(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let words = bench.words();
    let (fact, said) = passage(bench, &whole(Opcode::Binary, words.as_bytes()), &words).await?;
    findings.binary = Some(fact);
    Ok(said)
}

/// A length that is longer than it has to be.
pub(super) async fn long_length(bench: &mut Bench) -> Verdict {
    let words = bench.words();
    Ok(passage(bench, &long_form(&words), &words).await?.1)
}

/// Text that is not UTF-8.
pub(super) async fn bad_text(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    let words = bench.words();
    let payload = [words.as_bytes(), b"\xff"].concat();
    let (fact, said) = passage(bench, &whole(Opcode::Text, &payload), &words).await?;
    findings.bad_text = Some(fact);
    Ok(match fact {
        Passage::AsText | Passage::Same => "passed on: whoever keeps RFC 6455 has to hang up on it".to_owned(),
        Passage::Dropped | Passage::Closed => said,
    })
}

/// A frame without a mask.
pub(super) async fn no_mask(bench: &mut Bench) -> Verdict {
    let words = bench.words();
    Ok(passage(bench, &unmasked(&words), &words).await?.1)
}

/// Sends it, and tells what becomes of it and of its sender.
async fn passage(bench: &mut Bench, bytes: &[u8], words: &str) -> Result<(Passage, String), Answered> {
    let mut guest = bench.guest().await?;
    guest.send(bytes, bench.limit).await;
    let words = [words.to_owned()];
    let frames = bench.listen(&mut guest, &words).await;
    let ours = frames.iter().find(|frame| frame.says(&words[0]));
    let told = match ours {
        Some(frame) if frame.is(Opcode::Binary) => (Passage::Same, "arrives as binary".to_owned()),
        Some(_) => (Passage::AsText, "arrives as text".to_owned()),
        None => fate(bench, &mut guest, frames.iter().find(|frame| frame.is(Opcode::Close))).await,
    };
    guest.leave().await;
    Ok(told)
}

async fn fate(bench: &Bench, guest: &mut Line, close: Option<&super::frames::Frame>) -> (Passage, String) {
    let more = gather(guest, (bench.quiet, bench.limit), |frames| frames.iter().any(|f| f.is(Opcode::Close))).await;
    let close = close.or_else(|| more.iter().find(|frame| frame.is(Opcode::Close)));
    match close.map(super::frames::Frame::code) {
        Some(Some(code)) => (Passage::Closed, format!("its sender is closed with {code}")),
        Some(None) => (Passage::Closed, "its sender is closed".to_owned()),
        None if guest.is_over().await => (Passage::Closed, "its sender is cut off".to_owned()),
        None => (Passage::Dropped, "lost".to_owned()),
    }
}

/// A frame that claims to have 2^40 bytes.
pub(super) async fn endless(bench: &mut Bench) -> Verdict {
    let mut guest = bench.guest().await?;
    guest.send(&boundless(), bench.limit).await;
    let others = bench.check().await;
    let over = guest.is_over().await;
    guest.leave().await;
    Ok(match others {
        Ok(()) if over => "its sender is cut off".to_owned(),
        Ok(()) => "it waits for the rest; others are served".to_owned(),
        Err(why) => format!("nobody is served while it waits for the rest ({why})"),
    })
}
