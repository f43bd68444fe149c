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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc::{Sender, channel};

    /// Answers each question by what it is, and tells of it.
    fn gateway(answer: impl Fn(&str) -> (u16, String) + Send + 'static, asked: Sender<String>) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let place = format!("http://{}", listener.local_addr().expect("an address"));
        let serve = move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.expect("accepted"));
                let (mut head, mut length) = (String::new(), 0);
                while !head.ends_with("\r\n\r\n") {
                    let mut line = String::new();
                    stream.read_line(&mut line).expect("read");
                    length = line
                        .strip_prefix("Content-Length: ")
                        .map_or(length, |text| text.trim().parse().expect("a number"));
                    head += &line;
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).expect("read");
                let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.0").to_owned();
                assert!(head.contains("Authorization: Bearer 0123456789abcdef\r\n"), "{head}");
                let (status, text) = answer(&line);
                let _ = asked.send(format!("{line} {}", String::from_utf8_lossy(&body)).trim_end().to_owned());
                let head = format!("HTTP/1.0 {status} X\r\nContent-Length: {}\r\n\r\n", text.len());
                stream.get_mut().write_all((head + &text).as_bytes()).expect("written");
            }
        };
        std::thread::Builder::new().spawn(serve).expect("a thread");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        std::fs::write(&file, "0123456789abcdef\n").expect("written");
        Door::named(&place, Some(&file)).expect("a door")
    }

    /// A gateway with so many connections, of which each look finds that they have had a hundred bytes more.
    fn crowd(line: &str, count: usize) -> (u16, String) {
        let text = match line.split(['?', ' ']).nth(1).unwrap_or_default() {
            "/readyz" => "running\n".to_owned(),
            "/metrics" => "wsgate_build_info{version=\"9\"} 1\n".to_owned(),
            "/backends" => "{\"pools\":[]}".to_owned(),
            "/connections" => {
                let offset: usize = line.rsplit("offset=").next().and_then(|text| text.parse().ok()).expect("a number");
                let ids = offset..count.min(offset + PAGE);
                let more = ids.end < count;
                let list: Vec<String> = ids.map(|id| format!("{{\"id\":{id},\"bytes_in\":7}}")).collect();
                format!("{{\"count\":{count},\"missing\":0,\"more\":{more},\"connections\":[{}]}}", list.join(","))
            }
            _ => return (404, "{\"code\":\"x\",\"text\":\"there is\\u001b nothing\"}".to_owned()),
        };
        (200, text)
    }

    fn census(watch: &mut Watch) -> Arc<Census> {
        match watch.look().expect("it answers").desk {
            Desk::Open { census, .. } => census,
            Desk::Closed(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_page_is_turned_at_each_look() {
        let (tell, asked) = channel();
        let mut watch = Watch::new(gateway(|line| crowd(line, 2500), tell), Duration::ZERO);
        let seen: Vec<(usize, usize)> = (0..5)
            .map(|_| {
                let census = census(&mut watch);
                (census.connections.len(), census.count)
            })
            .collect();
        // What is there the first time, then all, and all until the next round is complete.
        assert_eq!(seen, [(1000, 2500), (2000, 2500), (2500, 2500), (2500, 2500), (2500, 2500)]);
        let pages = asked.try_iter().filter(|line| line.contains("/connections")).collect::<Vec<_>>();
        let offsets: Vec<&str> = pages.iter().filter_map(|line| line.rsplit('=').next()).collect();
        assert_eq!(offsets, ["0", "1000", "2000", "0", "1000"]);
        let all = census(&mut watch);
        assert!(all.connections.iter().enumerate().all(|(at, one)| one.id == at as u64), "each once");
        assert_eq!(all.connections[0].pace, Some(0.0), "it has been seen twice");
    }

    #[test]
    fn orders_are_carried_out_and_refusals_are_told() {
        let (tell, asked) = channel();
        let answer = |line: &str| if line.contains("drain") { (202, "{}".to_owned()) } else { crowd(line, 1) };
        let mut watch = Watch::new(gateway(answer, tell), Duration::ZERO);
        let name = |text: &str| serde_json::from_value::<Name>(text.into()).expect("a name");
        let (pool, backend) = (name("a b"), name("ws://h\u{1b}\"x"));
        let drained = watch.obey(Order::Drain { pool: pool.clone(), backend: backend.clone() });
        assert_eq!(drained, Some(Ok("ws://h�\"x is being drained".to_owned())));
        assert!(watch.obey(Order::Undrain { pool, backend }).is_some_and(|done| done.is_ok()));
        let refused = watch.obey(Order::Close { id: 4, code: 4000, reason: "a&b c".to_owned() });
        assert_eq!(refused, Some(Err(Plain::of("there is\u{1b} nothing"))));
        assert_eq!(
            asked.try_iter().collect::<Vec<_>>(),
            [
                "POST /drain {\"backend\":\"ws://h\\u001b\\\"x\",\"pool\":\"a b\"}",
                "DELETE /drain?pool=a+b&backend=ws%3A%2F%2Fh%1B%22x",
                "DELETE /connections/4?code=4000&reason=a%26b+c",
            ]
        );
        assert_eq!(watch.obey(Order::Focus(Some(7))), None);
        let Desk::Open { focus, .. } = watch.look().expect("it answers").desk else { panic!("it is open") };
        assert!(focus.is_some_and(|told| *told == Err(Plain::of("there is\u{1b} nothing"))));
    }

    #[test]
    fn what_is_no_gateway_is_told() {
        for (metrics, told) in [
            ((200, "up 1\n"), "what answers there is no wsgate"),
            ((200, "<html>"), "line 1 of /metrics is no sample"),
            ((503, ""), "/metrics is answered with 503"),
        ] {
            let answer = move |_: &str| (metrics.0, metrics.1.to_owned());
            let mut watch = Watch::new(gateway(answer, channel().0), Duration::ZERO);
            assert_eq!(watch.look().err().as_deref(), Some(told));
        }
    }
}
