//! Tries a backend with raw bytes, says plainly what it found, and proposes the configuration that fits.

mod answer;
mod bench;
mod block;
mod catalogue;
mod controls;
mod crowd;
mod findings;
mod frames;
mod heads;
mod ladder;
mod line;
mod messages;
mod place;
mod profile;
mod report;
mod request;
mod sizes;

pub use catalogue::dangers;
pub use report::{End, Report, Step};

use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::answer::Answered;
use self::bench::{Bench, Health};
use self::block::{Backend, block, word};
use self::catalogue::{CARDS, Card, Experiment};
use self::findings::{Audience, Findings};
use self::place::Place;
use self::profile::propose;
use self::request::Asked;
use crate::client::Trust;
use crate::config::Profile;
use crate::lifecycle::clock::timeout;
use crate::tls::read_roots;

/// How many times its limit one experiment may take: the searches for a size have many tries.
const TRIES: u32 = 40;

/// Whether experiments that are known to harm some servers are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boldness {
    /// They are.
    Gentle,
    /// They are not.
    Harsh,
}

/// What is to be probed, and how.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// `ws://host:port/path`, `wss://…` or `unix:PATH`.
    pub url: String,
    /// The Host to ask for; absent: the URL's.
    pub host: Option<String>,
    /// The Origin to name; absent: the Host's own, over `https`.
    pub origin: Option<String>,
    /// PEM file of the authorities that vouch for a `wss://` server; absent: the public ones.
    pub ca: Option<PathBuf>,
    /// How long any one answer may take.
    pub limit: Duration,
    /// Whether the dangerous experiments are left out.
    pub boldness: Boldness,
}

/// Runs the experiments one after the other, and tells of each as soon as it is done. After each it looks whether the
/// server still lives; when it does not, nothing more is tried.
///
/// # Errors
/// The wishes make no sense: what is wrong with them.
pub async fn probe(wishes: &Wishes, tell: &mut dyn FnMut(&Step)) -> Result<Report, String> {
    let mut bench = bench(wishes)?;
    let mut findings = Findings::default();
    let (mut steps, mut end) = (Vec::new(), End::Complete);
    for card in CARDS {
        let outcome = one(card, wishes.boldness, &mut bench, &mut findings).await;
        tell(&outcome.0);
        steps.push(outcome.0);
        if let Some(over) = outcome.1 {
            end = over;
            break;
        }
    }
    bench.end().await;
    Ok(conclude(wishes, &bench.place, &findings, (steps, end)))
}

fn bench(wishes: &Wishes) -> Result<Bench, String> {
    let trust = match &wishes.ca {
        None => Trust::public(),
        Some(file) => Trust::only(read_roots(file).map_err(|problems| problems.to_string())?),
    };
    let mut place = Place::parse(&wishes.url, trust)?;
    if let Some(host) = &wishes.host {
        place.host.clone_from(host);
    }
    let origin = wishes.origin.clone().unwrap_or_else(|| format!("https://{}", place.host));
    for (what, value) in [("host", &place.host), ("origin", &origin)] {
        // They go into a request head as they are.
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("{value:?} is no {what}; allowed: visible ASCII"));
        }
    }
    let asked = Asked::of(&place, &origin);
    Ok(Bench::new(place, asked, wishes.limit))
}

/// One experiment, and whether it is the last.
async fn one(card: &Card, boldness: Boldness, bench: &mut Bench, findings: &mut Findings) -> (Step, Option<End>) {
    let start = Instant::now();
    let mut step = Step {
        name: card.name,
        title: card.title,
        verdict: None,
        danger: card.danger,
        harm: None,
        took: Duration::ZERO,
    };
    if card.danger.is_some() && boldness == Boldness::Gentle {
        return (step, None);
    }
    if card.needs_ears && findings.audience.is_none_or(|audience| audience == Audience::Nobody) {
        step.verdict = Some("not tried: what arrives cannot be seen".to_owned());
        return (step, None);
    }
    let verdict = timeout(bench.limit * TRIES, card.experiment.attempt(bench, findings)).await;
    step.took = start.elapsed();
    let first = matches!(card.experiment, Experiment::Reach | Experiment::Upgrade);
    step.verdict = Some(match verdict {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(answered)) if first => {
            step.verdict = Some(answered.to_string());
            return (step, Some(End::NoServer(explained(&answered))));
        }
        Ok(Err(answered)) => format!("could not be tried: {answered}"),
        Err(_) => "not done in time".to_owned(),
    });
    if first {
        return (step, None);
    }
    step.harm = match bench.health().await {
        Health::Well => None,
        // A server that drops idle guests is no wonder; one that drops them after this is.
        Health::Reborn if card.danger.is_none() => {
            step.harm = Some("the guest who only watches was cut off: by a restart, or for being idle".to_owned());
            return (step, None);
        }
        Health::Reborn => Some("everybody was cut off; the server was started again".to_owned()),
        Health::Gone(why) => Some(format!("the server has stopped answering ({why})")),
    };
    let end = step.harm.is_some().then_some(End::Harmed(card.name));
    (step, end)
}

/// A refusal, and what may be asked for instead.
fn explained(answered: &Answered) -> String {
    match answered {
        Answered::Status(400..=499) => {
            format!("{answered} (some answer to one path, --host or --origin alone)")
        }
        other => other.to_string(),
    }
}

fn conclude(wishes: &Wishes, place: &Place, findings: &Findings, (steps, end): (Vec<Step>, End)) -> Report {
    let url = wishes.url.clone();
    if matches!(end, End::NoServer(_)) {
        return Report { url, steps, end, profile: None, configuration: String::new() };
    }
    let proposal = propose(findings);
    let ca = wishes.ca.as_ref().map(|file| file.display().to_string());
    let backend = Backend { url: &place.backend, target: &place.target, ca: ca.as_deref() };
    let configuration = block(&proposal, backend);
    let profile = Some((word(&Profile::ALL, proposal.profile), proposal.why));
    Report { url, steps, end, profile, configuration }
}
