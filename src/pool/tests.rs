//! Who gets which backend, who waits, and what a reload leaves as it was; under paused time, and without sockets.

use std::net::IpAddr;
use std::path::Path;

use http::{HeaderMap, HeaderValue, header};

use super::*;
use crate::wire::head::{Ask, Forwarded, Head, Rules, request};

fn wishes(more: &str) -> config::Pool {
    let backends = if more.contains("backends") { "" } else { "backends = [\"ws://h:1\"]\n" };
    let text = format!("[[route]]\npath = \"/\"\nproxy = {{ pool = \"p\" }}\n[pool.p]\n{backends}{more}\n");
    let config = config::Config::parse(&text, "test.toml", Path::new("")).expect("valid");
    config.pools["p"].clone()
}

fn pool(more: &str) -> Pool {
    after(more, None)
}

fn after(more: &str, before: Option<&Pool>) -> Pool {
    let pool = Pool::new("p", &wishes(more), Habits::TRANSPARENT, Trust::only(Vec::new()), before);
    pool.take_over();
    pool
}

/// What is asked on behalf of a client of this address.
struct Client(HeaderMap, IpAddr, Head);

impl Client {
    fn at(address: &str) -> Self {
        let (headers, client) = (HeaderMap::new(), address.parse().expect("address"));
        let forwarded = Forwarded { client, chain: None, peer: client, secure: false, host: "h" };
        let rules = Rules { budget: None, cookies: &[], pass: &[], subprotocols: true };
        let ask = Ask { target: "/", key: "key", client: &headers, forwarded, vouched: &[], rules };
        let head = request(&ask).expect("no budget");
        Self(headers, client, head)
    }

    fn saying(mut self, name: header::HeaderName, value: &'static str) -> Self {
        self.0.append(name, HeaderValue::from_static(value));
        self
    }

    fn wish(&self, pool: &Pool) -> Wish {
        pool.wish((&self.0, self.1), self.2.clone(), Some(&[]))
    }
}

async fn enter(pool: &Pool) -> Result<Lease, DialError> {
    pool.enter(&Client::at("192.0.2.1").wish(pool)).await
}

/// The port of the backend that one more client gets.
async fn port(pool: &Pool) -> (Lease, u8) {
    let lease = enter(pool).await.expect("a place");
    let port = lease.backend().rsplit(':').next().and_then(|port| port.parse().ok()).expect("port");
    (lease, port)
}

fn eject(pool: &Pool, at: usize) {
    for _ in 0..pool.wishes.ejection.after {
        pool.blame(&pool.seats[at].member);
    }
}

#[tokio::test(start_paused = true)]
async fn full_backends_are_passed_over_and_then_it_is_full() {
    let pool = pool("backends = [\"ws://h:1\", \"ws://h:2\"]\nconnections_per_backend = 2\nbalance = \"round_robin\"");
    let mut leases = Vec::new();
    for expected in [1, 2, 1, 2] {
        let (lease, port) = port(&pool).await;
        assert_eq!(port, expected);
        leases.push(lease);
    }
    assert!(matches!(enter(&pool).await, Err(DialError::Full)));
    leases.remove(1);
    assert_eq!(port(&pool).await.1, 2);
    assert_eq!(pool.facts().refused, 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_too_long_is_told() {
    let pool = pool("connections_per_backend = 1\nqueue = 1\nqueue_timeout = \"3s\"");
    let lease = enter(&pool).await.expect("a place");
    let since = Instant::now();
    let waits = async {
        assert!(matches!(enter(&pool).await, Err(DialError::QueueTimeout)));
        assert_eq!(since.elapsed(), Duration::from_secs(3));
    };
    let comes_later = async {
        tokio::task::yield_now().await;
        assert_eq!(pool.facts().waiting, 1);
        assert!(matches!(enter(&pool).await, Err(DialError::Full)));
        assert_eq!(since.elapsed(), Duration::ZERO);
    };
    tokio::join!(waits, comes_later);
    assert_eq!((pool.facts().waiting, pool.facts().refused), (0, 2));
    drop(lease);
    assert!(enter(&pool).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_backend_whose_time_is_over_serves_those_who_wait() {
    let more = "backends = [\"ws://h:1\", \"ws://h:2\"]\nconnections_per_backend = 1\nqueue = 1\nqueue_timeout = \"9m\"\n\
        eject_time = \"10s\"";
    let pool = pool(more);
    eject(&pool, 1);
    let (_lease, first) = port(&pool).await;
    let since = Instant::now();
    let (_second, second) = port(&pool).await;
    assert_eq!((first, second), (1, 2));
    assert_eq!(since.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn backups_are_for_when_no_other_can_be_used() {
    let more = "backends = [\"ws://h:1\", { url = \"ws://h:2\", backup = true }, \"ws://h:3\"]\n\
        balance = \"round_robin\"\nconnections_per_backend = 10";
    let pool = pool(more);
    for expected in [1, 3, 1, 3] {
        assert_eq!(port(&pool).await.1, expected);
    }
    eject(&pool, 0);
    for _ in 0..3 {
        assert_eq!(port(&pool).await.1, 3);
    }
    eject(&pool, 2);
    assert_eq!(port(&pool).await.1, 2);
    tokio::time::advance(Duration::from_secs(11)).await;
    let mut full = Vec::new();
    for _ in 0..20 {
        let (lease, port) = port(&pool).await;
        assert_ne!(port, 2);
        full.push(lease);
    }
    assert_eq!(port(&pool).await.1, 2, "the others are full");
}

#[tokio::test(start_paused = true)]
async fn the_last_backend_stays_in_service_unless_told() {
    let backends = "backends = [\"ws://h:1\", \"ws://h:2\"]\n";
    let stays = pool(backends);
    eject(&stays, 0);
    eject(&stays, 1);
    assert_eq!(port(&stays).await.1, 2);
    let told = pool(&format!("{backends}eject_last = true"));
    eject(&told, 0);
    eject(&told, 1);
    assert!(matches!(enter(&told).await, Err(DialError::OutOfService)));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(enter(&told).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn where_checks_find_all_ill_each_is_as_good_as_another() {
    let health =
        "health = \"tcp\"\nhealth_fall = 1\nbalance = \"round_robin\"\nbackends = [\"ws://h:1\", \"ws://h:2\"]\n";
    for (more, is_served) in [("", true), ("eject_last = true", false)] {
        let pool = pool(&format!("{health}{more}"));
        for member in pool.members() {
            assert_eq!(member.judge(Instant::now(), false, &pool.wishes.health), member::Change::Down);
        }
        assert_eq!(enter(&pool).await.is_ok(), is_served, "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_start_gives_a_growing_share() {
    let pool = pool("backends = [\"ws://h:1\", \"ws://h:2\"]\nbalance = \"round_robin\"\nslow_start = \"100s\"");
    eject(&pool, 1);
    let share = async |count: usize| {
        let mut second = 0;
        for _ in 0..count {
            second += usize::from(port(&pool).await.1 == 2);
        }
        second
    };
    assert_eq!(share(10).await, 0);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(share(110).await, 10, "a tenth beside a whole");
    tokio::time::advance(Duration::from_secs(50)).await;
    assert_eq!(share(150).await, 50, "a half beside a whole");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(share(100).await, 50);
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_is_known_of_those_who_stay() {
    let before = pool(
        "backends = [\"ws://h:1\", \"ws://h:2\"]\nconnections_per_backend = 1\neject_time = \"1h\"\neject_max = \"1h\"",
    );
    eject(&before, 1);
    let lease = enter(&before).await.expect("the only place");
    let pool = after(
        "backends = [\"ws://h:3\", { url = \"ws://h:2\", weight = 9 }]\nconnections_per_backend = 1",
        Some(&before),
    );
    let (_third, third) = port(&pool).await;
    assert_eq!(third, 3);
    assert!(matches!(enter(&pool).await, Err(DialError::Full)), "2 is still ejected");
    assert!(before.seats[0].member.is_retired());
    drop(lease);
    assert!(matches!(enter(&pool).await, Err(DialError::Full)), "and 1 is none of this pool's");
    let back = after("backends = [\"ws://h:2\", \"ws://h:3\"]\nconnections_per_backend = 2", Some(&pool));
    assert_eq!(port(&back).await.1, 3);
    assert_eq!(back.facts().backends.iter().map(|backend| backend.open).collect::<Vec<_>>(), [0, 1]);
}

/// A reload to another backend while somebody waits, and only then the place at the old one given back.
async fn moved(more: &str, before: &Pool, lease: Lease) -> Pool {
    tokio::task::yield_now().await;
    let pool = after(&format!("backends = [\"ws://h:2\"]\n{more}"), Some(before));
    drop(lease);
    pool
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_get_nobody_whom_a_reload_has_taken_out() {
    let more = "connections_per_backend = 1\nqueue = 9\nqueue_timeout = \"10s\"";
    let before = pool(more);
    let lease = enter(&before).await.expect("a place");
    let reload = moved(more, &before, lease);
    let (waited, pool) = tokio::join!(enter(&before), reload);
    assert_eq!(waited.expect("a place").backend(), "ws://h:2");
    // Whoever still asks for the old ones comes too late.
    assert!(matches!(enter(&before).await, Err(DialError::OutOfService)));
    assert_eq!(port(&pool).await.1, 2);
}

#[tokio::test(start_paused = true)]
async fn not_even_when_they_look_around_by_themselves() {
    let more = "connections_per_backend = 1\nqueue = 9\nqueue_timeout = \"10s\"";
    let before = pool(more);
    let lease = enter(&before).await.expect("a place");
    let reload = moved(more, &before, lease);
    let since = Instant::now();
    let (first, second, _pool) = tokio::join!(enter(&before), enter(&before), reload);
    assert_eq!(first.as_ref().map(Lease::backend).ok(), Some("ws://h:2"));
    assert!(matches!(second, Err(DialError::QueueTimeout)) && since.elapsed() == Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_does_not_come_into_force_changes_nothing() {
    let before = pool("connections_per_backend = 1\nqueue = 1");
    let unused =
        Pool::new("p", &wishes("backends = [\"ws://h:2\"]"), Habits::LEGACY, Trust::only(Vec::new()), Some(&before));
    drop(unused);
    let _lease = enter(&before).await.expect("a place");
    assert_eq!(before.places.cap(), 1);
    assert!(before.members().all(|member| member.is_usable(Instant::now())));
}

#[tokio::test(start_paused = true)]
async fn a_higher_cap_after_a_reload_serves_those_who_wait() {
    let before = pool("connections_per_backend = 1\nqueue = 1");
    let _lease = enter(&before).await.expect("a place");
    let since = Instant::now();
    let reload = async {
        tokio::task::yield_now().await;
        assert_eq!(before.facts().waiting, 1);
        after("connections_per_backend = 2", Some(&before))
    };
    let (second, pool) = tokio::join!(enter(&before), reload);
    assert!(second.is_ok() && since.elapsed().is_zero());
    assert_eq!(pool.facts().backends[0].open, 2);
}

#[test]
fn profiles_say_what_the_pool_does_not() {
    let cap = |more: &str, habits| {
        let pool = Pool::new("p", &wishes(more), habits, Trust::only(Vec::new()), None);
        pool.take_over();
        (pool.places.cap(), pool.seats[0].member.slots().available_permits())
    };
    let any = tokio::sync::Semaphore::MAX_PERMITS;
    assert_eq!(cap("", Habits::TRANSPARENT), (usize::MAX, any));
    assert_eq!(cap("", Habits::LEGACY), (900, 4));
    let said = "connections_per_backend = 7\nhandshakes_at_once = 2";
    assert_eq!(cap(said, Habits::LEGACY), (7, 2));
    assert_eq!(cap(said, Habits::TRANSPARENT), (7, 2));
}

#[test]
fn what_a_client_is_known_by() {
    let at = Client::at;
    let key = |more: &str, client: Client| client.wish(&pool(&format!("balance = \"hash\"\n{more}"))).caller.key;
    let (one, other) = ("192.0.2.1", "192.0.2.2");
    assert_eq!(key("", at(one)), key("hash = \"address\"", at(one)));
    assert_ne!(key("", at(one)), key("", at(other)));
    assert_eq!(key("", at("::ffff:192.0.2.1")), key("", at(one)));
    assert_eq!(key("", at("2001:db8::1")), key("", at("2001:db8::2:0:0:1")));
    assert_ne!(key("", at("2001:db8::1")), key("", at("2001:db8:0:1::1")));
    let cookie = "hash = \"cookie:id\"";
    let with = |address, value| at(address).saying(header::COOKIE, value);
    assert_eq!(key(cookie, with(one, "a=b; id=7; c=d")), key(cookie, with(other, "id=7")));
    assert_ne!(key(cookie, with(one, "id=7")), key(cookie, with(one, "id=8")));
    assert_eq!(key(cookie, with(one, "xid=7; id2=8; id=")), key("", at(one)), "no such cookie");
    let agent = "hash = \"header:User-Agent\"";
    let with = |address, value| at(address).saying(header::USER_AGENT, value);
    assert_eq!(key(agent, with(one, "x")), key(agent, with(other, "x")));
    assert_ne!(key(agent, with(one, "x")), key(agent, with(one, "y")));
    assert_eq!(key(agent, at(one)), key("", at(one)), "no such header");
}
