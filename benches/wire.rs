//! The time that the law takes: frames through a tunnel, masks, UTF-8 and request heads, without any I/O.
//!
//! `cargo bench --bench wire`, or with a part of a name behind `--`; compare only runs of one machine in one hour.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wsgate::wire::frame::{self, Opcode};
use wsgate::wire::mask::Mask;
use wsgate::wire::request_head;
use wsgate::wire::tunnel::{BadText, Binary, Edge, Out, Policy, Side, Tunnel};
use wsgate::wire::utf8::Utf8;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const SIZES: [(&str, usize); 3] = [("32 B", 32), ("1 KiB", 1024), ("16 KiB", 16 * 1024)];

criterion_group! {
    name = wire;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = tunnels, masks, texts, heads
}
criterion_main!(wire);

/// Takes what may pass, and lets everything in.
#[derive(Default)]
struct Counted(usize);

impl Out for Counted {
    fn send(&mut self, _: Side, bytes: &[u8]) {
        self.0 += black_box(bytes).len();
    }

    fn admit_message(&mut self) -> bool {
        true
    }
}

/// One whole message of a client, and one of a backend, each as a tunnel judges it.
fn tunnels(criterion: &mut Criterion) {
    let edge = Edge { binary: Binary::Pass, bad_text: BadText::Drop };
    for (profile, edge) in [("transparent", None), ("edge", Some(edge))] {
        for (opcode, kind) in [(Opcode::Text, "text"), (Opcode::Binary, "binary")] {
            let mut group = criterion.benchmark_group(format!("tunnel, {profile}, {kind}"));
            for (name, size) in SIZES {
                let text = ascii(size);
                let up = frame::whole(opcode, &text, Some(KEY));
                let down = frame::whole(opcode, &text, None);
                group.throughput(Throughput::Bytes(size as u64));
                for (way, from, bytes) in [("up", Side::Client, up), ("down", Side::Backend, down)] {
                    let mut tunnel = Tunnel::new(Policy { message_size: 1 << 20, utf8: true, edge }, 1);
                    let mut out = Counted::default();
                    group.bench_function(format!("{name} {way}"), |bencher| {
                        bencher.iter(|| tunnel.on_bytes(from, black_box(&bytes), &mut out));
                    });
                    assert!(out.0 > 0 && !tunnel.is_ending(), "nothing passed");
                }
            }
        }
    }
}

fn masks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for (name, size) in SIZES {
        let mut bytes = ascii(size);
        let mut mask = Mask::new(KEY);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{name} applied"), |bencher| bencher.iter(|| mask.apply(black_box(&mut bytes))));
        let mut masked = ascii(size);
        Mask::new(KEY).apply(&mut masked);
        group.bench_function(format!("{name} seen to be ASCII"), |bencher| {
            bencher.iter(|| assert!(Mask::new(KEY).is_ascii_under(black_box(&masked))));
        });
    }
}

fn texts(criterion: &mut Criterion) {
    for (script, letters) in [("ASCII", "gateway"), ("CJK", "網關日本語"), ("emoji", "🦀🚪🔒")] {
        let mut group = criterion.benchmark_group(format!("UTF-8, {script}"));
        for (name, size) in SIZES {
            let text: String = letters.chars().cycle().scan(0, |so_far, next| fits(so_far, next, size)).collect();
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let mut utf8 = Utf8::new();
                    assert!(utf8.push(black_box(text.as_bytes())).is_ok() && utf8.finish().is_ok());
                });
            });
        }
    }
}

/// The next character, as long as all of them fit into `size` bytes.
fn fits(so_far: &mut usize, next: char, size: usize) -> Option<char> {
    *so_far += next.len_utf8();
    (*so_far <= size).then_some(next)
}

/// An upgrade as a browser sends it, and one from a machine that says no more than it must.
fn heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request head");
    for (name, head) in [("browser", BROWSER), ("machine", MACHINE)] {
        let bytes = head.replace('\n', "\r\n").into_bytes();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let end = request_head::find_end(black_box(&bytes), 0);
                assert_eq!(end, Some(bytes.len()));
                request_head::check(black_box(&bytes)).is_ok_and(|summary| summary.upgrade)
            });
        });
        assert!(request_head::check(&bytes).is_ok(), "{name}: not a sound head");
    }
}

fn ascii(size: usize) -> Vec<u8> {
    b"all work and no play makes a dull gateway. ".iter().copied().cycle().take(size).collect()
}

const MACHINE: &str = "GET /ws HTTP/1.1
Host: example.com
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13

";

const BROWSER: &str = "GET /chat/garden?token=8f14e45fceea167a5a36dedd4bea2543 HTTP/1.1
Host: chat.example.com:8443
Connection: Upgrade
Pragma: no-cache
Cache-Control: no-cache
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36
Upgrade: websocket
Origin: https://chat.example.com:8443
Sec-WebSocket-Version: 13
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-GB,en;q=0.9,de;q=0.8
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=necessary
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits

";
