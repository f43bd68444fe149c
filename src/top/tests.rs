//! Screens drawn into memory and read as text, with whatever a gateway or its clients may say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ratatui::backend::{CrosstermBackend, TestBackend};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};

use super::desk::{Census, Connection, Pools};
use super::draw::{SMALLEST, draw};
use super::figures::Figures;
use super::metrics::Scrape;
use super::palette::Palette;
use super::plain::Plain;
use super::snapshot;
use super::state::{Act, Page, State};
use super::watch::{Desk, News, Order, Sample};

const METRICS: &str = r#"
wsgate_build_info{version="0.1.0"} 1
wsgate_websockets_open{route="/chat"} 1200
wsgate_websockets_open{route="/ws"} 40
wsgate_websockets_opened_total{route="/chat"} OPENED
wsgate_websockets_opened_total{route="/ws"} 40
wsgate_hub_rooms{route="/chat"} 17
wsgate_hub_members{route="/chat"} 1200
wsgate_tcp_connections_pending 3
wsgate_requests_refused_total{reason="origin_not_allowed"} 12
wsgate_requests_refused_total{reason="address_rate"} REFUSED
wsgate_tls_handshake_failures_total{reason="not_tls"} 4
wsgate_websockets_ended_total{by="client",code="1000"} 311
wsgate_websockets_ended_total{by="gateway",code="1008"} 2
wsgate_data_frames_total{direction="in"} FRAMES
wsgate_data_frames_total{direction="out"} 9000
wsgate_data_bytes_total{direction="in"} BYTES
wsgate_data_bytes_total{direction="out"} 900000
wsgate_tls_handshake_duration_seconds_bucket{le="0.001"} 10
wsgate_tls_handshake_duration_seconds_bucket{le="0.01"} 20
wsgate_tls_handshake_duration_seconds_bucket{le="+Inf"} 20
wsgate_backend_connect_duration_seconds_bucket{pool="app",le="0.001"} 0
wsgate_backend_connect_duration_seconds_bucket{pool="app",le="+Inf"} 3
wsgate_certificate_expiry_timestamp_seconds{name="chat.example.com"} 8640000
wsgate_send_queue_bytes 2048
process_start_time_seconds 1000
process_open_fds 1300
process_max_fds 20000
process_resident_memory_bytes 56000000
process_cpu_seconds_total CPU
"#;

const POOLS: &str = r#"{"pools":[{"pool":"app","waiting":0,"queue":100,"refused":0,"retries":3,"retries_refused":0,
"backends":[{"backend":"ws://10.0.1.10:8080","usable":true,"drained":false,"ejected_seconds":null,"checks":null,
"failures":0,"ejections":1,"open":40,"max":500,"handshakes":0,"weight":1,"backup":false},
{"backend":"ws://10.0.1.11:8080","usable":false,"drained":false,"ejected_seconds":4.2,"checks":null,"failures":3,
"ejections":2,"open":0,"max":500,"handshakes":0,"weight":1,"backup":false}]}]}"#;

/// What five looks make of that.
const SMALLEST_SCREEN: &str = " wsgate 0.1.0  ● running   up 2h14m             http://127.0.0.1:9443  every 1s
╭ WebSockets ─ 1,240 open ╮╭ Messages ──────────────╮╭ Bytes ──────────────────╮
│opened          3/s  ████││in            120/s ████││in          4 KiB/s  ████│
│refused         1/s  ████││out             0/s     ││out           0 B/s      │
╰─────────────────────────╯╰────────────────────────╯╰─────────────────────────╯
╭ Refused ──────────── 27 ╮╭ Latency ─── p50    p99 ╮╭ Closed ──────────── 313 ╮
│address_ra…     1/s    11││TLS          1 ms 9.8 ms││1000 client           311│
│origin_not_allowed     12││handshake       –      –││1008 gateway            2│
│tls not_tls             4││connect     >1 ms  >1 ms││                         │
│                         ││answer          –      –││                         │
╰─────────────────────────╯╰────────────────────────╯╰─────────────────────────╯
╭ Routes ─────────────────╮╭ Backends ────── 1 down ╮╭ Gateway ──────── 53 MiB ╮
│/chat           3/s 1,200││✖ ws://10.0.1.11:8080  0││descriptors  1,300/20,000│
│/ws                    40││● ws://10.0.1.10… 40/500││cert chat.example… 99d21h│
╰─────────────────────────╯╰────────────────────────╯╰─────────────────────────╯
╭ Connections ─────────────────────────────────────────────────── 9 by bytes/s ╮
│id      address   route             age  messages     bytes    bytes/s▼ state │
│9       192.0.2.9 /chat           9m00s        36     9 KiB     900 B/s       │
│8       192.0.2.8 /ws             8m00s        32     8 KiB     800 B/s       │
│7       192.0.2.7 /chat           7m00s        28     7 KiB     700 B/s       │
│6       192.0.2.6 /ws             6m00s        24     6 KiB     600 B/s       │
│5       192.0.2.5 /chat           5m00s        20     5 KiB     500 B/s       │
╰──────────────────────────────────────────────────────────────────────────────╯
 ↑↓ select  Enter look  k kick  s sort  / filter  b backends  ? help  q quit
";

fn metrics(second: u32) -> String {
    let put = |text: String, (name, number): (&str, u32)| text.replace(name, &number.to_string());
    let numbers =
        [("OPENED", 1500 + 3 * second), ("REFUSED", 7 + second), ("FRAMES", 120 * second), ("BYTES", 4096 * second)];
    numbers.into_iter().fold(METRICS.replace("CPU", &format!("{}", f64::from(second) / 4.0)), put)
}

fn one(id: u64) -> Connection {
    Connection {
        id,
        route: Plain::of(if id.is_multiple_of(2) { "/ws" } else { "/chat" }),
        address: Some(Plain::of(&format!("192.0.2.{id}"))),
        host: Plain::of("chat.example.com"),
        tls: Some(Plain::of("TLSv1.3")),
        age_seconds: 60.0 * id as f64,
        idle_seconds: 1.0,
        frames_in: 3 * id,
        frames_out: id,
        bytes_in: 1000 * id,
        bytes_out: 24 * id,
        held: id == 3,
        pace: Some(100.0 * id as f64),
        ..Connection::default()
    }
}

fn sample(begin: Instant, second: u32, connections: Vec<Connection>) -> Sample {
    let Pools { pools } = serde_json::from_str(POOLS).expect("pools");
    let census = Arc::new(Census { count: connections.len(), connections, began: Instant::now() });
    Sample {
        at: begin + Duration::from_secs(second.into()),
        time: 9040.0 + f64::from(second),
        phase: Plain::of("running"),
        scrape: Scrape::read(&metrics(second)).expect("metrics"),
        desk: Desk::Open { census, pools, focus: None },
    }
}

/// What five looks, a second apart, have found.
fn state() -> State {
    let mut state = State { about: (Plain::of("http://127.0.0.1:9443"), "1s".to_owned()), ..State::default() };
    let begin = Instant::now();
    for second in 0..5 {
        state.take(News::Sample(Box::new(sample(begin, second, (1..=9).map(one).collect()))));
    }
    state
}

fn screen(state: &State, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, state, Palette::new(true))).expect("drawn");
    let cells: Vec<&str> = terminal.backend().buffer().content.iter().map(|cell| cell.symbol()).collect();
    let lines = cells.chunks(usize::from(width).max(1)).map(|line| line.concat().trim_end().to_owned() + "\n");
    lines.collect()
}

/// The bytes that a terminal would get.
fn bytes(state: &State, (width, height): (u16, u16), has_colors: bool) -> String {
    let mut written = Vec::new();
    let viewport = Viewport::Fixed(Rect::new(0, 0, width, height));
    let backend = CrosstermBackend::new(&mut written);
    let mut terminal = Terminal::with_options(backend, TerminalOptions { viewport }).expect("a terminal");
    terminal.draw(|frame| draw(frame, state, Palette::new(has_colors))).expect("drawn");
    drop(terminal);
    String::from_utf8(written).expect("text")
}

/// Without what moves the cursor and changes the style: `ESC [ digits and ; and ? letter`.
fn without_steering(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |left, part| {
        let end = part.find(|one: char| !(one.is_ascii_digit() || one == ';' || one == '?')).unwrap_or(part.len());
        let rest = &part[end..];
        assert!(rest.starts_with(['m', 'H', 'h', 'l', 'J', 'K']), "{part:?}");
        left + &rest[1..]
    })
}

fn press(state: &mut State, keys: &[KeyCode]) -> Act {
    keys.iter().fold(Act::Nothing, |_, key| state.key(KeyEvent::from(*key)))
}

fn has(screen: &str, pieces: &[&str]) {
    for piece in pieces {
        assert!(screen.contains(piece), "{piece:?} is not on\n{screen}");
    }
}

#[test]
fn the_smallest_screen_has_all_of_it() {
    let drawn = screen(&state(), SMALLEST);
    assert_eq!(drawn, SMALLEST_SCREEN, "\n{drawn}");
}

#[test]
fn a_larger_screen_has_more_of_each() {
    let drawn = screen(&state(), (120, 36));
    has(
        &drawn,
        &["✖ ws://10.0.1.11:8080", "left alone 4s", "tls not_tls", "17 rooms", "idle", "cert chat.example.com"],
    );
    has(&screen(&state(), (160, 50)), &["chat.example.com", "backend", "in", "out"]);
}

#[test]
fn any_size_is_drawn() {
    for (width, height) in [(0, 0), (1, 1), (79, 24), (80, 23), (80, 24), (81, 60), (300, 100), (500, 24)] {
        for page in [Page::Overview, Page::Connections, Page::Connection, Page::Backends, Page::Help] {
            let mut state = State { page, ..state() };
            state.selected = Some(4);
            press(&mut state, &[KeyCode::Char('k')]);
            screen(&state, (width, height));
        }
    }
    has(&screen(&state(), (79, 24)), &["this takes 80x24; there is 79x24"]);
    screen(&State::default(), SMALLEST);
}

#[test]
fn what_clients_and_gateways_say_cannot_steer_the_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\n\u{9b}31m\u{202e}x";
    let told = serde_json::json!({
        "id": 1, "route": evil, "address": evil, "host": evil, "tls": evil, "backend": evil, evil: evil,
        "age_seconds": 1.0, "idle_seconds": 1.0
    });
    let connection: Connection = serde_json::from_value(told).expect("a connection");
    let pools = serde_json::json!({ "pools": [{ "pool": evil, "waiting": 0, "queue": 1, "backends": [
        { "backend": evil, "usable": false, "open": 1 }] }] });
    let Pools { pools } = serde_json::from_value(pools).expect("pools");
    let label = evil.replace('\n', "\\n").replace('\r', "");
    let text = format!(
        "wsgate_build_info{{version=\"{label}\"}} 1\nwsgate_websockets_open{{route=\"{label}\"}} 1\n\
         wsgate_requests_refused_total{{reason=\"{label}\"}} 1\n\
         wsgate_websockets_ended_total{{by=\"{label}\",code=\"{label}\"}} 1\n\
         wsgate_certificate_expiry_timestamp_seconds{{name=\"{label}\"}} 9\n"
    );
    let census = Arc::new(Census { count: 1, connections: vec![connection.clone()], began: Instant::now() });
    let sample = |focus| Sample {
        at: Instant::now(),
        time: 1.0,
        phase: Plain::of(evil),
        scrape: Scrape::read(&text).expect("metrics"),
        desk: Desk::Open { census: Arc::clone(&census), pools: pools.clone(), focus: Some(Box::new(focus)) },
    };
    let mut state = State { about: (Plain::of(evil), "1s".to_owned()), ..State::default() };
    let mut check = |news: News, keys: &[KeyCode]| {
        state.take(news);
        press(&mut state, keys);
        let drawn = without_steering(&bytes(&state, (160, 50), true));
        assert!(!drawn.chars().any(|one| one.is_control() || one == '\u{202e}'), "{drawn:?}");
        assert!(drawn.contains("owned"), "it is shown, and harmless: {drawn}");
        let figures = state.figures.as_ref().expect("figures");
        let written = snapshot::text(&state, figures);
        assert!(!written.chars().any(|one| one != '\n' && (one.is_control() || one == '\u{202e}')), "{written:?}");
    };
    check(News::Sample(Box::new(sample(Ok(connection)))), &[KeyCode::Down]);
    check(News::Done(Err(Plain::of(evil))), &[]);
    check(News::Gone(Plain::of(evil)), &[KeyCode::Char('k')]);
    check(News::Sample(Box::new(sample(Err(Plain::of(evil))))), &[KeyCode::Esc, KeyCode::Char('b')]);
    check(News::Done(Err(Plain::of(evil))), &[KeyCode::Char('d')]);
}

#[test]
fn without_colours_no_colour_is_sent() {
    let state = state();
    let colours = |text: &str| text.contains("38;5;") || text.contains("48;5;");
    let plain = bytes(&state, (120, 36), false);
    assert!(!colours(&plain), "{plain:?}");
    // Whoever runs the tests may want no colours for himself.
    ratatui::crossterm::style::force_color_output(true);
    assert!(colours(&bytes(&state, (120, 36), true)));
}

#[test]
fn a_connection_is_selected_looked_at_and_kicked_after_a_question() {
    let mut state = state();
    assert_eq!(press(&mut state, &[KeyCode::Char('k')]), Act::Nothing);
    assert!(state.dialog.is_none(), "nobody is selected");
    press(&mut state, &[KeyCode::Down, KeyCode::Down]);
    assert_eq!(state.selected, Some(8), "the second by bytes a second");
    // It stays selected when the order is another.
    press(&mut state, &[KeyCode::Char('s'), KeyCode::Char('r')]);
    assert_eq!((state.selected, press(&mut state, &[KeyCode::Enter])), (Some(8), Act::Order(Order::Focus(Some(8)))));
    state.focus = Some(Ok(one(8)));
    has(&screen(&state, SMALLEST), &["Connection 8", "192.0.2.8", "TLSv1.3", "24 in, 8 out", "open for      8m00s"]);
    press(&mut state, &[KeyCode::Char('k')]);
    has(&screen(&state, SMALLEST), &["Close connection 8?", "192.0.2.8 on /ws", "1008", "closed by the operator"]);
    let order = Order::Close { id: 8, code: 1008, reason: "closed by the operator".to_owned() };
    assert_eq!(press(&mut state, &[KeyCode::Enter]), Act::Order(order));
    state.take(News::Done(Ok("connection 8 is closed with 1008".to_owned())));
    has(&screen(&state, SMALLEST), &["✔ connection 8 is closed with 1008"]);
    assert_eq!(press(&mut state, &[KeyCode::Esc]), Act::Order(Order::Focus(None)));
    // Who has gone is selected no more.
    state.take(News::Sample(Box::new(sample(Instant::now(), 9, vec![one(1)]))));
    assert_eq!(state.selected, None);
}

#[test]
fn a_filter_is_typed_kept_and_taken_back() {
    let mut state = state();
    press(&mut state, &[KeyCode::Char('/'), KeyCode::Char('w'), KeyCode::Char('s'), KeyCode::Char('q')]);
    has(&screen(&state, SMALLEST), &["0 of 9", "/wsq█", "keep the filter"]);
    press(&mut state, &[KeyCode::Backspace, KeyCode::Enter]);
    let kept = screen(&state, SMALLEST);
    has(&kept, &["4 of 9", "/ws ", "192.0.2.8"]);
    assert!(!kept.contains("192.0.2.9"), "{kept}");
    assert_eq!(press(&mut state, &[KeyCode::Esc]), Act::Nothing, "first the filter goes");
    assert_eq!((state.rows().len(), press(&mut state, &[KeyCode::Esc])), (9, Act::Leave));
}

#[test]
fn a_backend_is_drained_after_a_question() {
    let mut state = state();
    press(&mut state, &[KeyCode::Char('b')]);
    has(&screen(&state, SMALLEST), &["ws://10.0.1.10:8080", "usable", "left alone 4s", "failures"]);
    press(&mut state, &[KeyCode::Down, KeyCode::Down, KeyCode::Up, KeyCode::Char('d')]);
    has(&screen(&state, SMALLEST), &["Drain ws://10.0.1.10:8080?", "40 connections are sent home with 1012"]);
    assert!(matches!(press(&mut state, &[KeyCode::Char('y')]), Act::Order(Order::Drain { backend, .. })
        if backend.raw() == "ws://10.0.1.10:8080"));
    press(&mut state, &[KeyCode::Char('d')]);
    assert_eq!((press(&mut state, &[KeyCode::Esc]), &state.dialog), (Act::Nothing, &None));
    press(&mut state, &[KeyCode::Char('q')]);
    assert_eq!(state.page, Page::Overview);
}

#[test]
fn a_gateway_that_is_gone_is_told_of_and_comes_back() {
    let mut state = state();
    state.take(News::Gone(Plain::of("connection refused")));
    has(&screen(&state, SMALLEST), &["gone for 0s: connection refused; trying again", "/chat"]);
    let since = state.gone.as_ref().map(|(_, since)| *since);
    state.take(News::Gone(Plain::of("connection refused")));
    assert_eq!(state.gone.as_ref().map(|(_, since)| *since), since, "since the first time");
    state.take(News::Sample(Box::new(sample(Instant::now(), 9, vec![one(1)]))));
    let back = screen(&state, SMALLEST);
    assert!(back.contains("● running") && !back.contains("gone"), "{back}");
}

#[test]
fn without_a_token_the_rest_is_shown() {
    let mut state = State::default();
    let closed = Desk::Closed(Plain::of("there is no --token-file"));
    let mut sample = Sample { desk: closed, ..sample(Instant::now(), 0, Vec::new()) };
    let more = "wsgate_backend_usable{pool=\"app\",backend=\"ws://h\"} 1\nwsgate_backend_connections{pool=\"app\",backend=\"ws://h\"} 5\n";
    sample.scrape = Scrape::read(&(metrics(0) + more)).expect("metrics");
    state.take(News::Sample(Box::new(sample)));
    has(&screen(&state, SMALLEST), &["not told without a token", "there is no --token-file", "● ws://h", "1,240 open"]);
    press(&mut state, &[KeyCode::Char('b'), KeyCode::Char('d')]);
    assert!(state.dialog.is_none());
    has(&screen(&state, SMALLEST), &["✖ there is no --token-file"]);
}

#[test]
fn keys_leave_and_help() {
    let mut state = state();
    let ctrl = |code| KeyEvent::new(KeyCode::Char(code), KeyModifiers::CONTROL);
    assert_eq!((state.key(ctrl('c')), state.key(ctrl('k'))), (Act::Leave, Act::Nothing));
    assert_eq!(press(&mut self::state(), &[KeyCode::Char('q')]), Act::Leave);
    press(&mut state, &[KeyCode::Char('?')]);
    has(&screen(&state, SMALLEST), &["Help", "kick it", "any key", "Ctrl-C"]);
    assert_eq!((press(&mut state, &[KeyCode::Char('q')]), state.page), (Act::Nothing, Page::Overview));
    press(&mut state, &[KeyCode::Tab]);
    has(&screen(&state, SMALLEST), &["Connections", "192.0.2.1"]);
    assert_eq!((press(&mut state, &[KeyCode::Esc]), state.page), (Act::Nothing, Page::Overview));
    assert_eq!(press(&mut state, &[KeyCode::End, KeyCode::Home, KeyCode::PageDown]), Act::Nothing);
    assert_eq!(state.selected, Some(1), "ten rows on from the first of nine is the last");
}

#[test]
fn figures_are_worked_out_from_what_was_seen() {
    let state = state();
    let Figures { open, opened, messages, bytes, refused, own, routes, closes, uptime, .. } =
        state.figures.as_ref().expect("figures");
    assert_eq!((*open, opened.total, opened.rate), (1240.0, 1552.0, Some(3.0)));
    assert_eq!((messages.into, messages.out, bytes.into), (Some(120.0), Some(0.0), Some(4096.0)));
    assert_eq!((refused.total, refused.rate), (23.0, Some(1.0)));
    assert_eq!((own.descriptors, own.cpu, own.queued), (Some((1300.0, 20_000.0)), Some(0.25), 2048.0));
    assert_eq!(routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>(), ["/chat", "/ws"]);
    assert_eq!((closes[0].0.as_str(), closes[0].1.total), ("1000 client", 311.0));
    assert_eq!(*uptime, Some(Duration::from_secs(8044)));
}
