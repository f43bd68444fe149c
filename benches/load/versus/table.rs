//! What a comparison has found: plain data, as text for a terminal, as Markdown for a README, and as JSON.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::program::Job;

/// Rounds of `--versus` when no other number is asked for.
pub(crate) const ROUNDS: usize = 5;

/// wsgate and its peers, side by side: the first program is wsgate, or its transparent profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// What they did.
    pub(crate) job: Job,
    /// The peers, as they were asked for.
    pub(crate) peers: Vec<String>,
    /// The programs with their versions.
    pub(crate) programs: Vec<String>,
    /// How many processors this machine shows.
    pub(crate) cpus: usize,
    /// How often each figure was measured for each program.
    pub(crate) rounds: usize,
    /// For how long each time.
    pub(crate) seconds: f64,
    /// The same of a chat in which messages come at a rate.
    #[serde(default)]
    pub(crate) paced: Option<f64>,
    /// One for each figure.
    pub(crate) rows: Vec<Row>,
    /// What else was asked for, as options.
    #[serde(default)]
    pub(crate) options: Vec<String>,
    /// Runs in which the generator was the limit, and why.
    #[serde(default)]
    pub(crate) doubts: Vec<String>,
}

/// One figure of all programs; less is better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) figure: String,
    /// In which unit.
    pub(crate) unit: String,
    /// Of each program, in the order of [`Comparison::programs`].
    pub(crate) medians: Vec<f64>,
    /// Of each program, the value of each round.
    pub(crate) samples: Vec<Vec<f64>>,
    /// Of wsgate to the best peer, or of each profile to the transparent one.
    pub(crate) ratios: Vec<Ratio>,
}

/// One program's share of what another one needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    /// Its place in [`Comparison::programs`].
    pub(crate) of: usize,
    /// The other one's.
    pub(crate) to: usize,
    /// The median of the ratios within each round.
    pub(crate) median: f64,
    /// The least and the greatest of them: how far the figure can be trusted.
    pub(crate) range: (f64, f64),
}

impl Ratio {
    fn within(samples: &[Vec<f64>], of: usize, to: usize) -> Self {
        let ratios: Vec<f64> = samples[of].iter().zip(&samples[to]).map(|(own, other)| own / other).collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        Self { of, to, median: median(&ratios), range: (least, most) }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.range.0, self.range.1)
    }
}

impl Row {
    /// From each program's values, round by round; there are at least two programs and one round.
    #[must_use]
    pub(super) fn of(job: Job, figure: String, unit: &str, samples: Vec<Vec<f64>>) -> Self {
        let medians: Vec<f64> = samples.iter().map(|values| median(values)).collect();
        let best = (1..medians.len()).min_by(|&a, &b| medians[a].total_cmp(&medians[b])).unwrap_or(0);
        let ratios = match job {
            Job::Profiles => (1..samples.len()).map(|of| Ratio::within(&samples, of, 0)).collect(),
            Job::Relay | Job::Chat => vec![Ratio::within(&samples, 0, best)],
        };
        Self { figure, unit: unit.to_owned(), medians, samples, ratios }
    }

    /// What it says of a program.
    fn value(&self, at: usize) -> String {
        format!("{} {}", shown(self.medians[at]), self.unit)
    }

    /// Of peers: the values, and the one ratio behind them. Of profiles: each value with its own ratio.
    fn cells(&self, job: Job) -> Vec<String> {
        let mut values: Vec<String> = (0..self.medians.len()).map(|at| self.value(at)).collect();
        match job {
            Job::Profiles => self.ratios.iter().for_each(|ratio| values[ratio.of] += &format!(", {ratio}")),
            Job::Relay | Job::Chat => values.extend(self.ratios.iter().map(ToString::to_string)),
        }
        [self.figure.clone()].into_iter().chain(values).collect()
    }
}

impl Comparison {
    /// For a terminal.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let lines: Vec<Vec<String>> = self.lines().collect();
        let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let mut cells = line.iter().zip(&widths);
            if let Some((cell, &width)) = cells.next() {
                text += &format!("{cell:<width$}");
            }
            cells.for_each(|(cell, &width)| text += &format!("  {cell:>width$}"));
            text.push('\n');
        }
        text + "\n" + &self.notes()
    }

    /// For a README.
    #[must_use]
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for (at, line) in self.lines().enumerate() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "| {} |", line.join(" | "));
            if at == 0 {
                text += &format!("|---|{}\n", "---:|".repeat(line.len() - 1));
            }
        }
        text + "\n" + &self.notes() + &format!("\n```sh\n{}\n```\n", self.command())
    }

    /// What made it.
    fn command(&self) -> String {
        let rounds = if self.rounds == ROUNDS { String::new() } else { format!(" --rounds {}", self.rounds) };
        let time = if (self.seconds - 1.0).abs() < 1e-9 { String::new() } else { format!(" --for {}s", self.seconds) };
        let options: String = self.options.iter().map(|option| format!(" {option}")).collect();
        format!("cargo bench --bench load -- --versus {}{options}{rounds}{time}", self.peers.join(","))
    }

    fn lines(&self) -> impl Iterator<Item = Vec<String>> {
        let head = [String::new()].into_iter().chain(self.programs.iter().cloned());
        let head = head.chain((self.job != Job::Profiles).then(|| "wsgate / best peer".to_owned())).collect();
        [head].into_iter().chain(self.rows.iter().map(|row| row.cells(self.job)))
    }

    fn notes(&self) -> String {
        let paced = self.paced.map(|seconds| format!(" (at a rate: {seconds} s)")).unwrap_or_default();
        let how = format!(
            "Medians of {} interleaved rounds of {} s{paced} on {} cores; {} (in brackets their\nrange). One worker or thread \
             each, TLS 1.3 (AES-256-GCM, X25519, ECDSA P-256), messages of text",
            self.rounds,
            self.seconds,
            self.cpus,
            match self.job {
                Job::Profiles => "behind a value its ratio to the first one, the median of those within each round",
                Job::Relay | Job::Chat => "the ratio is the median of those within each round",
            }
        );
        let what = match self.job {
            Job::Relay => {
                ", a plain-ws echo behind.\nwsgate runs with its defaults, so it also checks that text is UTF-8, both \
                 ways (utf8 = true). Peers have the buffers that are\nbest for their speed and, for idle connections, \
                 those that are best for their memory.\n"
            }
            Job::Chat => {
                ". One by one: a\nmember speaks again when all have heard it. At a rate: latencies from when a message was to be \
                 sent, of each delivery. All check\nthat text is UTF-8, escape it, and put its author in front.\n"
            }
            Job::Profiles => {
                ", a plain-ws echo behind, of\nwhose queue the kernel tells. Latencies are the client's, from its \
                 write to the end of its read, and each connection has one message\nunder way. Profiles are as they \
                 are, but for a message_size at which these messages pass.\n"
            }
        };
        let doubt = |doubt: &String| format!("INVALID, the generator was the limit: {doubt}\n");
        how + what + &self.doubts.iter().map(doubt).collect::<String>()
    }
}

/// Three digits that mean something.
#[must_use]
pub(super) fn shown(value: f64) -> String {
    match value {
        value if value >= 1000.0 => {
            let value = value.round() as u64;
            format!("{},{:03}", value / 1000, value % 1000)
        }
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison() -> Comparison {
        let samples = vec![vec![8.0, 9.0, 30.0], vec![10.0, 10.0, 40.0], vec![11.0, 11.0, 11.0]];
        let rows = vec![Row::of(Job::Relay, "CPU".to_owned(), "µs", samples)];
        let programs = ["wsgate 1", "nginx 2", "HAProxy 3"].map(str::to_owned).to_vec();
        let peers = ["nginx", "haproxy"].map(str::to_owned).to_vec();
        let (options, doubts, paced) = (Vec::new(), Vec::new(), None);
        Comparison { job: Job::Relay, peers, programs, cpus: 2, rounds: 3, seconds: 2.0, paced, rows, options, doubts }
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let row = &comparison().rows[0];
        assert_eq!(row.medians, [9.0, 10.0, 11.0]);
        assert_eq!(row.ratios, [Ratio { of: 0, to: 1, median: 0.8, range: (0.75, 0.9) }]);
    }

    #[test]
    fn each_profile_has_its_ratio_to_the_transparent_one() {
        let samples = vec![vec![10.0, 20.0, 10.0], vec![11.0, 30.0, 12.0], vec![10.0, 20.0, 9.0]];
        let rows = vec![Row::of(Job::Profiles, "p50".to_owned(), "µs", samples)];
        let programs = ["transparent", "legacy", "swoole"].map(str::to_owned).to_vec();
        let peers = ["legacy", "swoole"].map(str::to_owned).to_vec();
        let found = Comparison { job: Job::Profiles, peers, programs, rows, ..comparison() };
        let text = found.text();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("     transparent                     legacy                     swoole"));
        assert_eq!(lines.next(), Some("p50      10.0 µs  12.0 µs, 1.20 (1.10–1.50)  10.0 µs, 1.00 (0.90–1.00)"));
        assert!(found.markdown().starts_with("|  | transparent | legacy | swoole |\n|---|---:|---:|---:|\n"));
        assert!(found.markdown().contains("--versus legacy,swoole --rounds 3 --for 2s\n"));
        let json = serde_json::to_value(&found).expect("plain data");
        assert_eq!(json["rows"][0]["ratios"][0]["median"], 1.2);
    }

    #[test]
    fn columns_stand_below_one_another() {
        let text = comparison().text();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("     wsgate 1  nginx 2  HAProxy 3  wsgate / best peer"));
        assert_eq!(lines.next(), Some("CPU   9.00 µs  10.0 µs    11.0 µs    0.80 (0.75–0.90)"));
    }

    #[test]
    fn markdown_has_a_rule_below_its_head() {
        let markdown = comparison().markdown();
        assert!(
            markdown
                .starts_with("|  | wsgate 1 | nginx 2 | HAProxy 3 | wsgate / best peer |\n|---|---:|---:|---:|---:|\n")
        );
        let command = "\n```sh\ncargo bench --bench load -- --versus nginx,haproxy --rounds 3 --for 2s\n```\n";
        assert!(markdown.ends_with(command), "{markdown}");
    }

    #[test]
    fn doubts_and_what_was_asked_for_are_told() {
        let (options, doubts) = (vec!["-c 9000".to_owned()], vec!["ws, round 2: late".to_owned()]);
        let markdown = Comparison { job: Job::Chat, options, doubts, ..comparison() }.markdown();
        assert!(markdown.contains("\nINVALID, the generator was the limit: ws, round 2: late\n"), "{markdown}");
        assert!(markdown.contains("--versus nginx,haproxy -c 9000 --rounds 3 --for 2s\n"), "{markdown}");
    }

    #[test]
    fn json_comes_back_as_it_was() {
        let json = serde_json::to_string(&comparison()).expect("plain data");
        assert_eq!(serde_json::from_str::<Comparison>(&json).expect("what was written"), comparison());
    }

    #[test]
    fn three_digits_are_shown() {
        assert_eq!([27_400.4, 123.4, 12.34, 1.234].map(shown), ["27,400", "123", "12.3", "1.23"]);
        assert!(median(&[]).is_nan());
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
