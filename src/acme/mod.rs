//! Certificates that a CA makes by itself (RFC 8555): ordered when there is none, kept, and renewed in time.

mod account;
mod exchange;
mod failure;
mod order;
mod schedule;
mod storage;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use instant_acme::{Account, CertificateIdentifier};

use self::account::ExternalKey;
use self::exchange::Http;
use self::failure::Failure;
use self::schedule::Plan;
use self::storage::{Lock, Storage};
use crate::client::Trust;
use crate::config::{Acme, Problem, Problems};
use crate::lifecycle::clock::{sleep, timeout};
use crate::telemetry::metrics::AcmeTally;
use crate::tls::{self, Acceptor, Issued};

/// For so long at most it is not looked whether another gateway has put a newer certificate there.
const LOOK: Duration = Duration::from_secs(3600);
/// How long another gateway's order is waited for before it is looked again.
const BUSY: Duration = Duration::from_secs(10);
/// How long an order may take in all.
const ORDER: Duration = Duration::from_secs(600);

/// Who keeps one certificate good.
pub(crate) struct Keeper {
    wishes: Acme,
    trust: Trust,
    external: Option<ExternalKey>,
}

/// What one keeper knows while it runs.
#[derive(Default)]
struct State {
    plan: Option<Plan>,
    /// Attempts that have failed since the last success.
    failures: u32,
    /// Nothing is ordered before; looks are taken all the same.
    pause: Option<Instant>,
    /// When the last one was made, until it is planned with.
    ordered: Option<SystemTime>,
}

impl State {
    /// How long nothing is ordered, after a failure.
    fn paused(&self) -> Option<Duration> {
        self.pause?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}

impl Keeper {
    /// Reads what the wishes name; `before` where that is the same.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub(crate) fn new(wishes: &Acme, before: Option<&Arc<Self>>) -> Result<Arc<Self>, Problems> {
        let mut problems = Vec::new();
        let named = |problem: Problem| Problem { key: "tls.acme.ca".to_owned(), ..problem };
        let trust = match wishes.ca.as_ref().map(|path| tls::read_roots(path)) {
            None => Trust::public(),
            Some(Ok(authorities)) => Trust::only(authorities),
            Some(Err(found)) => {
                problems.extend(found.0.into_iter().map(named));
                Trust::public()
            }
        };
        let external = wishes.external.as_ref().map(ExternalKey::read).transpose();
        let external = external.unwrap_or_else(|found| {
            problems.extend(found.0);
            None
        });
        if !problems.is_empty() {
            return Err(Problems::new(problems));
        }
        let is_same = |before: &&Arc<Self>| {
            before.wishes == *wishes && before.trust.is_like(&trust) && before.external == external
        };
        match before.filter(is_same) {
            Some(same) => Ok(Arc::clone(same)),
            None => Ok(Arc::new(Self { wishes: wishes.clone(), trust, external })),
        }
    }

    /// Sees to it that there is a certificate, and that `tls` serves it. Cancel safe: an order that is dropped half-way is
    /// begun anew by whoever comes next, and nothing of it is answered any more.
    pub(crate) async fn run(&self, tls: &Acceptor, tally: &AcmeTally) -> Infallible {
        let mut state = State::default();
        loop {
            let wait = match timeout(ORDER, self.round(&mut state, tls, tally)).await.unwrap_or(Err(Failure::Late)) {
                Ok(wait) => wait,
                Err(failure) => self.failed(&mut state, &failure, tally),
            };
            let due = state.plan.as_ref().map(|plan| plan.due);
            tally.next(state.paused().map(|left| SystemTime::now() + left).or(due).unwrap_or_else(SystemTime::now));
            sleep(wait.min(LOOK)).await;
        }
    }

    /// Looks, orders when it is time to, and says when to look again.
    async fn round(&self, state: &mut State, tls: &Acceptor, tally: &AcmeTally) -> Result<Duration, Failure> {
        let storage = Storage::open(&self.wishes).map_err(Failure::Storage)?;
        if let Some(wait) = self.rest(state, &storage, tls, tally).await {
            return Ok(wait);
        }
        if let Some(left) = state.paused() {
            return Ok(left);
        }
        let Some(lock) = storage.lock().map_err(Failure::Storage)? else {
            tracing::debug!("another gateway orders a certificate");
            return Ok(BUSY.min(self.wishes.retry));
        };
        // Between the look and the lock another gateway may have been faster.
        if let Some(wait) = self.rest(state, &storage, tls, tally).await {
            return Ok(wait);
        }
        storage.set_aside_damaged(&lock).map_err(Failure::Storage)?;
        let issued = self.order(state, &storage, &lock, tls).await?;
        tally.ordered(true);
        (state.failures, state.pause, state.ordered) = (0, None, Some(SystemTime::now()));
        let until = tls::told(issued.not_after);
        tracing::info!(ca = self.wishes.directory, names = issued.names.join(" "), until, "a certificate was made");
        Ok(Duration::ZERO)
    }

    /// How long nothing needs to be done, as long as what is kept is good and covers the names.
    async fn rest(&self, state: &mut State, storage: &Storage, tls: &Acceptor, tally: &AcmeTally) -> Option<Duration> {
        let now = SystemTime::now();
        let issued = tls.take_up(storage.certificate(), now).ok()?;
        if !self.wishes.names.iter().all(|name| issued.names.contains(name)) {
            return None;
        }
        let plan = match state.plan.take() {
            Some(plan) if plan.is_for(&issued) => plan,
            // Whoever made it: there is one.
            _ => {
                (state.failures, state.pause) = (0, None);
                tally.fine();
                Plan::new(&issued, state.ordered.take())
            }
        };
        let plan = state.plan.insert(plan);
        if plan.asks(now) {
            self.ask_when(plan, &issued, storage, now).await;
        }
        // After a failure the wait is another one's.
        plan.due
            .duration_since(now)
            .ok()
            .filter(|left| !left.is_zero())
            .map(|left| left.min(LOOK).min(plan.until_ask(now)))
    }

    /// RFC 9773 §4.2: the CA is asked when it wants the certificate to be renewed, if it has an opinion.
    async fn ask_when(&self, plan: &mut Plan, issued: &Issued, storage: &Storage, now: SystemTime) {
        let asked = async {
            let account = self.account(storage).await.ok()??;
            let id = CertificateIdentifier::try_from(&issued.leaf).ok()?;
            account.renewal_info(&id).await.ok()
        };
        match asked.await {
            Some((info, again)) => {
                let window = info.suggested_window;
                plan.suggested((window.start.into(), window.end.into()), again, now);
            }
            None => plan.nothing_suggested(now),
        }
    }

    /// The account that is kept; `None` when there is none.
    async fn account(&self, storage: &Storage) -> Result<Option<Account>, Failure> {
        account::kept(storage, &self.wishes, self.http()).await
    }

    async fn order(&self, state: &State, storage: &Storage, lock: &Lock, tls: &Acceptor) -> Result<Issued, Failure> {
        let http = self.http();
        let ordered = async {
            let account = account::open(storage, lock, &self.wishes, self.external.as_ref(), http.clone()).await?;
            // What the CA has refused once it may refuse because of this.
            let replaces = state.plan.as_ref().filter(|plan| plan.is_suggested && state.failures == 0);
            let replaces = replaces.and_then(|plan| CertificateIdentifier::try_from(&plan.leaf).ok());
            order::order(&account, &self.wishes, tls.challenges(), replaces).await
        };
        let (chain, key) = match ordered.await {
            Ok(made) => made,
            Err(failure) => {
                if failure.is_unknown_account() {
                    storage.set_aside_account(lock).map_err(Failure::Storage)?;
                }
                return Err(failure.not_before(http.said_when()));
            }
        };
        storage.keep_certificate(lock, &format!("{key}{chain}"), |file| self.check(file))?;
        tls.take_up(storage.certificate(), SystemTime::now()).map_err(Failure::Certificate)
    }

    /// Whether what the CA has made is what was asked for.
    fn check(&self, file: &std::path::Path) -> Result<(), Failure> {
        let issued = tls::examine(file, SystemTime::now()).map_err(Failure::Certificate)?;
        match self.wishes.names.iter().find(|name| !issued.names.contains(name)) {
            Some(name) => Err(Failure::Lacks(name.clone())),
            None => Ok(()),
        }
    }

    /// One line says why, and when it is tried again.
    fn failed(&self, state: &mut State, failure: &Failure, tally: &AcmeTally) -> Duration {
        state.failures = state.failures.saturating_add(1);
        tally.ordered(false);
        let wait = schedule::after(state.failures, self.wishes.retry, failure.at_least(), schedule::chance());
        state.pause = Instant::now().checked_add(wait);
        let (ca, names) = (&self.wishes.directory, self.wishes.names.join(" "));
        tracing::warn!(ca, names, attempt = state.failures, error = %failure, again_in = ?wait, "no certificate was made");
        wait
    }

    fn http(&self) -> Http {
        Http::new(self.trust.clone())
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("names", &self.wishes.names).finish_non_exhaustive()
    }
}
