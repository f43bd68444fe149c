//! The command line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use super::plan;
use super::speech::{Language, SpeechOptions, V1};
use super::versus::{self, Job};

/// Measures any ws or wss server. Without a URL: a gateway that it starts itself on loopback.
///
/// Ends with 0; 1: nothing to report; 3: a threshold was not kept; 4: INVALID, the generator was the limit.
#[derive(Clone, Debug, Parser)]
#[command(name = "load", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// ws://host/path or wss://host/path.
    pub(crate) url: Option<String>,
    /// What to do.
    #[arg(long, value_enum, default_value_t = Profile::Echo)]
    pub(crate) profile: Profile,
    /// Connections; those of `connect` dial anew as soon as they are open. Default by profile.
    #[arg(long, short)]
    pub(crate) connections: Option<usize>,
    /// Bytes of a message: 32, 16KiB, 1MiB. Default 64, or 1MiB for bulk.
    #[arg(long, short, value_parser = plan::size)]
    pub(crate) size: Option<usize>,
    /// Messages a second of all senders together (rate, fanout, slow, stay, and ramp if given). Default: 100; 1000 for
    /// rate, one of each for stay.
    #[arg(long, short)]
    pub(crate) rate: Option<f64>,
    /// How long to measure.
    #[arg(long = "for", value_name = "TIME", value_parser = plan::duration, default_value = "10s")]
    pub(crate) time: Duration,
    /// Threads of the generator. Default: half the processors.
    #[arg(long, short)]
    pub(crate) threads: Option<usize>,
    /// Messages under way at once on each connection (echo, bulk).
    #[arg(long, default_value_t = 1)]
    pub(crate) window: usize,
    /// How many of the connections send (fanout, slow). Default: one, or one in each room.
    #[arg(long)]
    pub(crate) senders: Option<usize>,
    /// How many of the connections never read; they come when half the time is over (slow). Default: a tenth.
    #[arg(long)]
    pub(crate) stopped: Option<usize>,
    /// How a chat is spoken.
    #[command(flatten)]
    pub(crate) speech: SpeechOptions,
    /// Connections opened in a second at most, before measuring.
    #[arg(long, default_value_t = 2000.0)]
    pub(crate) open_rate: f64,
    /// The longest random wait before opening again: in the second round of storm (default: 2s), and of those who stay
    /// (default: none).
    #[arg(long, value_name = "TIME", value_parser = plan::duration)]
    pub(crate) jitter: Option<Duration>,
    /// Stages of ramp: 100@10s,500@20s.
    #[arg(long = "stage", value_name = "STAGES", value_delimiter = ',')]
    pub(crate) stages: Vec<String>,
    /// Messages are binary.
    #[arg(long)]
    pub(crate) binary: bool,
    /// A header line to add, as 'Name: value'.
    #[arg(long, short = 'H', value_name = "LINE")]
    pub(crate) header: Vec<String>,
    /// The Origin to send.
    #[arg(long)]
    pub(crate) origin: Option<String>,
    /// A subprotocol to offer.
    #[arg(long)]
    pub(crate) subprotocol: Vec<String>,
    /// Accept any certificate.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// The server name to ask for, if not the URL's host.
    #[arg(long, value_name = "NAME")]
    pub(crate) sni: Option<String>,
    /// This version of TLS and no other.
    #[arg(long, value_enum)]
    pub(crate) tls: Option<TlsVersion>,
    /// The longest that opening one connection may take.
    #[arg(long, value_parser = plan::duration, default_value = "10s")]
    pub(crate) patience: Duration,
    /// Dial from so many addresses, 127.0.0.2 and up (servers on loopback).
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) source_addresses: u8,
    /// The server's process: its CPU and memory, with all its children.
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// Without a URL: start wsgate as a process of its own, and count its CPU and memory.
    #[arg(long, value_enum, value_name = "AS", conflicts_with_all = ["url", "server_pid"])]
    pub(crate) apart: Option<Job>,
    /// That wsgate (--apart) or the gateway of our own serves ws, not wss.
    #[arg(long, conflicts_with = "url")]
    pub(crate) plain: bool,
    /// First compare our client with an independent one, message by message.
    #[arg(long)]
    pub(crate) cross_check: bool,
    /// End with 3 when this is so: 'p99>20ms', 'tls.p50>5ms', 'errors>0', 'completeness<100',
    /// 'cpu_us_per_delivery>5'; of stay: 'lost>0', 'doubled>0', 'refused>0', 'closed>100', 'connects>200',
    /// 'away.p99>1s'.
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) fail_if: Vec<String>,
    /// Write the run as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the run as a page.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Compare two runs that were written as JSON, and do nothing else.
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"])]
    pub(crate) compare: Vec<PathBuf>,
    /// Measure wsgate beside these: nginx,haproxy in front of the same backend; node,websockets as chats (at -c, -s,
    /// --rate); or profiles: each profile beside the transparent one (also singly: legacy,swoole).
    #[arg(long, value_delimiter = ',', value_name = "PROGRAMS")]
    pub(crate) versus: Vec<String>,
    /// Rounds of --versus.
    #[arg(long, default_value_t = versus::ROUNDS)]
    pub(crate) rounds: usize,
    /// What cargo adds.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// What the connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Round trips, one after the other on each connection.
    Echo,
    /// Messages at a fixed rate, whatever comes back; latency from the intended send time.
    Rate,
    /// Handshakes: full ones in the first half of the time, resumed ones in the second.
    Connect,
    /// Hold connections that do nothing.
    Idle,
    /// Large messages, back and forth.
    Bulk,
    /// A few send at a fixed rate, all receive.
    Fanout,
    /// Like fanout; in the second half of the time with members that never read.
    Slow,
    /// All are cut at once and come back: at once, then after a random wait.
    Storm,
    /// Messages at a fixed rate, each to be answered (or, in a hub, heard by its room) exactly once; whoever is sent home
    /// comes back and goes on.
    Stay,
    /// Stages with different counts of connections.
    Ramp,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsVersion {
    /// TLS 1.2.
    #[value(name = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[value(name = "1.3")]
    Tls13,
}

impl Arguments {
    /// Whether what one says all of a room hear.
    pub(crate) fn is_chat(&self) -> bool {
        match self.profile {
            Profile::Fanout | Profile::Slow => true,
            Profile::Stay => self.speech.language == Language::V1,
            _ => false,
        }
    }

    /// The longest random wait before opening again.
    pub(crate) fn jitter(&self) -> Duration {
        self.jitter.unwrap_or(Duration::from_secs(if self.profile == Profile::Storm { 2 } else { 0 }))
    }

    /// Those of a chat that send.
    pub(crate) fn sender_count(&self) -> usize {
        self.senders.or(self.speech.rooms).unwrap_or(1)
    }

    /// The subprotocols to offer: as asked, or that of the language.
    pub(crate) fn subprotocols(&self) -> Vec<String> {
        match self.speech.language {
            Language::V1 if self.subprotocol.is_empty() => vec![V1.to_owned()],
            Language::Plain | Language::V1 => self.subprotocol.clone(),
        }
    }

    /// The stages of ramp, in order.
    ///
    /// # Errors
    /// The first one that is none.
    pub(crate) fn stages(&self) -> Result<Vec<plan::Stage>, String> {
        if self.stages.is_empty() {
            plan::stages("50@3s,100@3s,200@3s,50@3s")
        } else {
            plan::stages(&self.stages.join(","))
        }
    }

    /// How many connections there are at most.
    ///
    /// # Errors
    /// A stage that is none.
    pub(crate) fn count(&self) -> Result<usize, String> {
        if self.profile == Profile::Ramp {
            return Ok(self.stages()?.iter().map(|stage| stage.connections).max().unwrap_or(0));
        }
        let usual = match self.profile {
            Profile::Echo | Profile::Rate | Profile::Ramp => 64,
            Profile::Connect => 16,
            Profile::Idle => 1000,
            Profile::Bulk => 8,
            Profile::Fanout | Profile::Slow | Profile::Stay => 100,
            Profile::Storm => 500,
        };
        Ok(self.connections.unwrap_or(usual).max(1))
    }

    /// Bytes of a message. Deliveries can only be told apart by the mark in them.
    pub(crate) fn message_size(&self) -> usize {
        let size = self.size.unwrap_or(if self.profile == Profile::Bulk { 1 << 20 } else { 64 });
        if self.is_chat() || self.profile == Profile::Stay { size.max(plan::MARK) } else { size }
    }

    /// Messages a second.
    pub(crate) fn message_rate(&self) -> f64 {
        self.rate.unwrap_or_else(|| match self.profile {
            Profile::Rate => 1000.0,
            Profile::Stay => self.count().unwrap_or(1) as f64,
            _ => 100.0,
        })
    }

    /// The profile's name.
    pub(crate) fn profile_name(&self) -> String {
        self.profile.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The options that shape a run, by name.
    pub(crate) fn shape(&self) -> BTreeMap<String, String> {
        let mut shape = BTreeMap::new();
        let mut put = |name: &str, value: String| shape.insert(name.to_owned(), value);
        put("connections", self.count().unwrap_or(0).to_string());
        put("size", self.message_size().to_string());
        if !matches!(self.profile, Profile::Storm | Profile::Ramp) {
            put("for", format!("{:?}", self.time));
        }
        put("threads", self.thread_count().to_string());
        match self.profile {
            Profile::Echo | Profile::Bulk => drop(put("window", self.window.to_string())),
            Profile::Rate => drop(put("rate", self.message_rate().to_string())),
            Profile::Fanout | Profile::Slow => {
                put("rate", self.message_rate().to_string());
                put("senders", self.sender_count().to_string());
                self.speech.shape(&mut put);
            }
            Profile::Ramp => drop(put("stage", self.stages.join(","))),
            Profile::Stay => {
                put("rate", self.message_rate().to_string());
                put("jitter", format!("{:?}", self.jitter()));
                self.speech.shape(&mut put);
            }
            Profile::Storm => drop(put("jitter", format!("{:?}", self.jitter()))),
            Profile::Connect | Profile::Idle => {}
        }
        if let Some(tls) = self.tls {
            put("tls", tls.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()));
        }
        if let Some(job) = self.apart {
            put("apart", job.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()));
        }
        if self.plain {
            put("plain", "yes".to_owned());
        }
        if self.source_addresses > 0 {
            put("source-addresses", self.source_addresses.to_string());
        }
        shape
    }

    /// Threads of the generator.
    pub(crate) fn thread_count(&self) -> usize {
        self.threads.unwrap_or_else(|| (cpus() / 2).max(1)).max(1)
    }
}

/// Processors that this process may use.
pub(crate) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
