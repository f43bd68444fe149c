//! Experiments with size: the largest message, the largest request head, and what a delayed acknowledgement costs.

use std::time::{Duration, Instant};

use super::answer::Answered;
use super::bench::{Bench, gather};
use super::findings::{Audience, Findings};
use super::frames::{Frame, text};
use super::heads::{Verdict, shown};
use super::ladder::{Bound, Ladder};
use super::line::Line;
use super::place::Approach;

/// The largest that every server known to us takes: `fread($client, 1000)`, less a frame's head.
pub(super) const MESSAGE_GENTLE: usize = 992;
/// The largest that is tried at all.
pub(super) const MESSAGE_MAX: usize = 1 << 20;
/// The same of request heads: the oldest servers freeze above 1024.
pub(super) const HEAD_GENTLE: usize = 1000;
/// The largest head that is tried at all.
pub(super) const HEAD_MAX: usize = 16 << 10;

/// Where known limits are: what is read at once, less the frame's own head.
const MESSAGES: &[usize] =
    &[125, 512, 992, 1016, 2040, 4088, 8184, 10_225, 16_384, 65_535, 131_072, 262_144, 524_288, MESSAGE_MAX];
const HEADS: &[usize] = &[500, 1000, 1024, 2000, 2048, 4000, 4096, 8000, 8192, 10_000, 10_240, 16_000, HEAD_MAX];
/// Beyond it a message needs time of its own.
const LONG: usize = 16_384;
/// The message of the round trips, and how many of them.
const TRIP: usize = 1100;
const TRIPS: usize = 7;

/// The largest message, above what is known and up to the ceiling.
pub(super) async fn messages(bench: &mut Bench, findings: &mut Findings, ceiling: usize) -> Verdict {
    let start = findings.message.map_or(0, |bound| bound.works);
    if findings.message.is_some_and(|bound| bound.fails.is_some()) {
        return Ok(told("message", findings.message, ceiling));
    }
    let mut ladder = Ladder::new(MESSAGES, start, ceiling);
    while let Some(size) = ladder.next() {
        let mut guest = bench.guest().await?;
        let words = stretched(bench.words(), size);
        if says_all(bench, &mut guest, &words).await {
            ladder.passed(size);
        } else if bench.check().await.is_ok() {
            ladder.failed(size);
        } else {
            ladder.harmed(size);
        }
        guest.leave().await;
        findings.message = Some(ladder.bound());
    }
    Ok(told("message", findings.message, ceiling))
}

fn stretched(words: String, size: usize) -> String {
    let more = size.saturating_sub(words.len());
    words + &"x".repeat(more)
}

async fn says_all(bench: &mut Bench, guest: &mut Line, words: &str) -> bool {
    let quiet = bench.quiet;
    if words.len() > LONG {
        bench.quiet = bench.limit;
    }
    let came = bench.carries(guest, &text(words), words.to_owned()).await;
    bench.quiet = quiet;
    came
}

/// The largest request head with which a message still arrives, and nothing else.
pub(super) async fn heads(bench: &mut Bench, findings: &mut Findings, ceiling: usize) -> Verdict {
    let least = bench.request().len();
    let start = findings.head.map_or(least, |bound| bound.works);
    let mut ladder = Ladder::new(HEADS, start, ceiling);
    findings.head = Some(ladder.bound());
    while let Some(size) = ladder.next() {
        let reply = bench.ask(&bench.request().padded(size), Approach::default()).await;
        let (passed, guest) = match reply.line {
            None => (false, None),
            Some(mut guest) => (is_clean(bench, &mut guest).await, Some(guest)),
        };
        let refused = matches!(reply.answered, Answered::Status(_) | Answered::Closed);
        match passed {
            true => ladder.passed(size),
            false if refused || bench.check().await.is_ok() => ladder.failed(size),
            false => ladder.harmed(size),
        }
        if let Some(guest) = guest {
            guest.leave().await;
        }
        findings.head = Some(ladder.bound());
    }
    Ok(told("request head", findings.head, ceiling))
}

/// Whether a guest's first message arrives, and no rest of its request before it.
async fn is_clean(bench: &mut Bench, guest: &mut Line) -> bool {
    if bench.audience == Audience::Nobody {
        return true;
    }
    let words = [bench.words()];
    guest.send(&text(&words[0]), bench.limit).await;
    let frames = bench.listen(guest, &words).await;
    let is_junk = |frame: &Frame| match std::str::from_utf8(&frame.payload) {
        Ok(text) => text.chars().any(|letter| letter.is_control() && !letter.is_whitespace()),
        Err(_) => true,
    };
    frames.iter().any(|frame| frame.says(&words[0])) && !frames.iter().any(is_junk)
}

fn told(what: &str, bound: Option<Bound>, ceiling: usize) -> String {
    match bound {
        Some(Bound { works, fails: None, .. }) => format!("a {what} of {works} bytes works (tried up to {ceiling})"),
        Some(Bound { works, fails: Some(fails), harms: false }) => {
            format!("a {what} of {works} bytes works, one of {fails} does not")
        }
        Some(Bound { works, fails: Some(fails), harms: true }) => format!(
            "a {what} of {works} bytes works; one of {fails} stops the server for everybody, so nothing larger was tried"
        ),
        None => "nothing is known".to_owned(),
    }
}

/// Round trips of a message that the server may write in two pieces, with delayed and with immediate acknowledgements.
pub(super) async fn delayed(bench: &mut Bench, findings: &mut Findings) -> Verdict {
    if findings.message.is_none_or(|bound| bound.works < TRIP) {
        return Ok(format!("not tried: no message of {TRIP} bytes is known to work"));
    }
    let delayed = trip(bench, false).await?;
    let at_once = trip(bench, true).await?;
    let (Some(delayed), Some(at_once)) = (delayed, at_once) else {
        return Ok("not tried: it can only be seen over plain TCP".to_owned());
    };
    findings.trips = Some((delayed, at_once));
    let verdict = if costs(delayed, at_once) { "acknowledge at once" } else { "makes no difference" };
    Ok(format!("{} delayed, {} at once: {verdict}", shown(delayed), shown(at_once)))
}

/// Linux delays an acknowledgement by 40 ms; anything near that is no noise.
pub(super) fn costs(delayed: Duration, at_once: Duration) -> bool {
    delayed > at_once + Duration::from_millis(20)
}

/// The median round trip; `None`: the line has no acknowledgements to speak of, or nothing came back.
async fn trip(bench: &mut Bench, at_once: bool) -> Result<Option<Duration>, Answered> {
    let mut guest = bench.guest().await?;
    let mut trips = Vec::new();
    for _ in 0..TRIPS {
        let words = stretched(bench.words(), TRIP);
        let start = Instant::now();
        guest.send(&text(&words), bench.limit).await;
        let limit = bench.limit;
        let ear = bench.ear(&mut guest);
        ear.acknowledge = Some(at_once);
        let frames = gather(ear, (limit, limit), |frames| frames.iter().any(|frame| frame.says(&words))).await;
        ear.acknowledge = None;
        if ear.is_tcp() && frames.iter().any(|frame| frame.says(&words)) {
            trips.push(start.elapsed());
        }
    }
    guest.leave().await;
    trips.sort();
    Ok(trips.get(trips.len() / 2).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_bound_names_both_sides_and_the_harm() {
        let bound = |works, fails, harms| Some(Bound { works, fails, harms });
        assert_eq!(told("message", bound(992, None, false), 992), "a message of 992 bytes works (tried up to 992)");
        let harmless = told("message", bound(2040, Some(2060), false), MESSAGE_MAX);
        assert_eq!(harmless, "a message of 2040 bytes works, one of 2060 does not");
        assert!(
            told("request head", bound(1024, Some(2000), true), HEAD_MAX).contains("stops the server for everybody")
        );
    }

    #[test]
    fn only_a_kernels_delay_costs() {
        let ms = Duration::from_millis;
        assert!(costs(ms(44), ms(1)) && !costs(ms(12), ms(1)) && !costs(ms(1), ms(44)));
    }
}
