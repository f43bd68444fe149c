//! Looks at the gateway again and again, and does what the operator orders; the only place here that asks the door.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;

use super::arithmetic::per_second;
use super::desk::{Census, Connection, Page, Pool, Pools, Refusal};
use super::door::{Door, escaped};
use super::metrics::Scrape;
use super::plain::{Name, Plain};

/// Connections in one answer: what the gateway gives at most.
const PAGE: usize = 1000;
/// Connections that are shown of a gateway that has more.
const MOST: usize = 20_000;

/// The gateway, as it was at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    /// Seconds since 1970, by this machine's clock.
    pub(crate) time: f64,
    pub(crate) phase: Plain,
    pub(crate) scrape: Scrape,
    pub(crate) desk: Desk,
}

/// What needs the token.
#[derive(Clone, Debug)]
pub(crate) enum Desk {
    /// It is not told, and this is why.
    Closed(Plain),
    Open {
        census: Arc<Census>,
        pools: Vec<Pool>,
        /// The one that is being looked at: as it is now, or why it is not told of.
        focus: Option<Box<Result<Connection, Plain>>>,
    },
}

/// What the operator wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Order {
    /// Tell of this connection each time, or of none.
    Focus(Option<u64>),
    Close {
        id: u64,
        code: u16,
        reason: String,
    },
    Drain {
        pool: Name,
        backend: Name,
    },
    Undrain {
        pool: Name,
        backend: Name,
    },
}

/// What is to be told.
#[derive(Debug)]
pub(crate) enum News {
    Sample(Box<Sample>),
    /// The gateway does not answer, for this reason.
    Gone(Plain),
    /// An order was carried out, or was not.
    Done(Result<String, Plain>),
}

/// Whoever looks.
pub(crate) struct Watch {
    door: Door,
    every: Duration,
    focus: Option<u64>,
    /// What is complete, and what is being collected.
    census: Option<Arc<Census>>,
    round: Option<Census>,
    /// Bytes of each connection when it was last told of.
    paces: HashMap<u64, (Instant, u64)>,
}

impl Watch {
    /// Of this door, that often.
    #[must_use]
    pub(crate) fn new(door: Door, every: Duration) -> Self {
        Self { door, every, focus: None, census: None, round: None, paces: HashMap::new() }
    }

    /// Until nobody listens any more; `tell` says whether somebody does.
    pub(crate) fn run(mut self, orders: &Receiver<Order>, tell: impl Fn(News) -> bool) {
        loop {
            let news = match self.look() {
                Ok(sample) => News::Sample(Box::new(sample)),
                Err(why) => {
                    // Whoever answers next may be another process, with other connections of the same numbers.
                    (self.census, self.round) = (None, None);
                    self.paces.clear();
                    News::Gone(Plain::of(&why))
                }
            };
            if !tell(news) {
                return;
            }
            match orders.recv_timeout(self.every) {
                Ok(order) => {
                    if let Some(done) = self.obey(order)
                        && !tell(News::Done(done))
                    {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// How it is now.
    ///
    /// # Errors
    /// The gateway does not answer, or it is none.
    pub(crate) fn look(&mut self) -> Result<Sample, String> {
        let phase = self.door.ask("GET /readyz", None).map_err(|error| error.to_string())?;
        let metrics = self.door.ask("GET /metrics", None).map_err(|error| error.to_string())?;
        let at = Instant::now();
        if metrics.status != 200 {
            return Err(format!("/metrics is answered with {}", metrics.status));
        }
        let scrape = Scrape::read(&metrics.body)?;
        if scrape.value("wsgate_build_info").is_none() {
            return Err("what answers there is no wsgate".to_owned());
        }
        let desk = match self.door.closed() {
            Some(why) => Desk::Closed(Plain::of(why)),
            None => self.desk().unwrap_or_else(Desk::Closed),
        };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Ok(Sample { at, time, phase: Plain::of(phase.body.trim()), scrape, desk })
    }

    fn desk(&mut self) -> Result<Desk, Plain> {
        let census = self.turn_page()?;
        let Pools { pools } = self.get("/backends")?;
        let focus = self.focus.map(|id| Box::new(self.look_at(id, &census)));
        Ok(Desk::Open { census, pools, focus })
    }

    fn look_at(&self, id: u64, census: &Census) -> Result<Connection, Plain> {
        let mut one: Connection = self.get(&format!("/connections/{id}"))?;
        one.pace = census.connections.iter().find(|known| known.id == id).and_then(|known| known.pace);
        Ok(one)
    }

    /// One page each time, so that a gateway with very many connections has no more to do than one with a thousand.
    fn turn_page(&mut self) -> Result<Arc<Census>, Plain> {
        let now = Instant::now();
        let mut round = self.round.take().unwrap_or(Census { connections: Vec::new(), count: 0, began: now });
        let offset = round.connections.len();
        let page: Page = self.get(&format!("/connections?limit={PAGE}&offset={offset}"))?;
        let is_last = !page.more || page.connections.is_empty() || offset + PAGE >= MOST;
        round.count = page.count;
        round.connections.extend(page.connections);
        self.pace(&mut round.connections[offset..], now);
        match (is_last, &self.census) {
            (false, Some(whole)) => {
                let shown = Arc::clone(whole);
                self.round = Some(round);
                Ok(shown)
            }
            // Half of them are better than none, the first time.
            (false, None) => {
                let shown = Arc::new(round.clone());
                self.round = Some(round);
                Ok(shown)
            }
            (true, _) => {
                let alive: HashSet<u64> = round.connections.iter().map(|one| one.id).collect();
                self.paces.retain(|id, _| alive.contains(id));
                let whole = Arc::new(round);
                self.census = Some(Arc::clone(&whole));
                Ok(whole)
            }
        }
    }

    fn pace(&mut self, connections: &mut [Connection], now: Instant) {
        for one in connections {
            let bytes = one.bytes();
            if let Some((then, had)) = self.paces.insert(one.id, (now, bytes))
                && bytes >= had
            {
                one.pace = per_second((bytes - had) as f64, now.duration_since(then));
            }
        }
    }

    /// Carries it out; none where there is nothing to tell.
    fn obey(&mut self, order: Order) -> Option<Result<String, Plain>> {
        match order {
            Order::Focus(id) => {
                self.focus = id;
                None
            }
            Order::Close { id, code, reason } => {
                let line = format!("DELETE /connections/{id}?code={code}&reason={}", escaped(&reason));
                Some(self.done(&line, None, format!("connection {id} is closed with {code}")))
            }
            Order::Drain { pool, backend } => {
                let told = format!("{} is being drained", backend.shown());
                let body = serde_json::json!({ "pool": pool.raw(), "backend": backend.raw() }).to_string();
                Some(self.done("POST /drain", Some(&body), told))
            }
            Order::Undrain { pool, backend } => {
                let told = format!("{} gets sessions again", backend.shown());
                let (pool, backend) = (escaped(pool.raw()), escaped(backend.raw()));
                Some(self.done(&format!("DELETE /drain?pool={pool}&backend={backend}"), None, told))
            }
        }
    }

    fn done(&self, line: &str, body: Option<&str>, told: String) -> Result<String, Plain> {
        self.answer(line, body).map(|_| told)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Plain> {
        let body = self.answer(&format!("GET {path}"), None)?;
        serde_json::from_str(&body).map_err(|error| Plain::of(&format!("{path} is not understood: {error}")))
    }

    fn answer(&self, line: &str, body: Option<&str>) -> Result<String, Plain> {
        let answer = self.door.ask(line, body).map_err(|error| Plain::of(&error.to_string()))?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        let told = serde_json::from_str(&answer.body).map(|Refusal { text }| text);
        Err(told.unwrap_or_else(|_| Plain::of(&format!("{line} is answered with {}", answer.status))))
    }
}
