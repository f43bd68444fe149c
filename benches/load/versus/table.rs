//! What a comparison has found: plain data, as text for a terminal, as Markdown for a README, and as JSON.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::target::Job;

/// Rounds of `--versus` when no other number is asked for.
pub(crate) const ROUNDS: usize = 5;

/// wsgate and its peers, side by side. The first program is wsgate.
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
    /// One for each figure.
    pub(crate) rows: Vec<Row>,
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
    /// The best peer's place in [`Comparison::programs`].
    pub(crate) best: usize,
    /// wsgate's share of what that peer needs: the median over rounds.
    pub(crate) ratio: f64,
    /// The least and the greatest of that ratio over rounds: how far the figure can be trusted.
    pub(crate) ratio_range: (f64, f64),
}

impl Row {
    /// From each program's values, round by round; there are at least two programs and one round.
    #[must_use]
    pub(super) fn of(figure: String, unit: &str, samples: Vec<Vec<f64>>) -> Self {
        let medians: Vec<f64> = samples.iter().map(|values| median(values)).collect();
        let best = (1..medians.len()).min_by(|&a, &b| medians[a].total_cmp(&medians[b])).unwrap_or(0);
        let ratios: Vec<f64> = samples[0].iter().zip(&samples[best]).map(|(own, peer)| own / peer).collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        Self {
            figure,
            unit: unit.to_owned(),
            medians,
            samples,
            best,
            ratio: median(&ratios),
            ratio_range: (least, most),
        }
    }

    fn cells(&self) -> Vec<String> {
        let values = self.medians.iter().map(|&median| format!("{} {}", shown(median), self.unit));
        let (least, most) = self.ratio_range;
        let ratio = format!("{:.2} ({least:.2}–{most:.2})", self.ratio);
        [self.figure.clone()].into_iter().chain(values).chain([ratio]).collect()
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
        format!("cargo bench --bench load -- --versus {}{rounds}{time}", self.peers.join(","))
    }

    fn lines(&self) -> impl Iterator<Item = Vec<String>> {
        let head = [String::new()].into_iter().chain(self.programs.iter().cloned());
        let head = head.chain(["wsgate / best peer".to_owned()]).collect();
        [head].into_iter().chain(self.rows.iter().map(Row::cells))
    }

    fn notes(&self) -> String {
        let how = format!(
            "Medians of {} interleaved rounds of {} s on {} cores; the ratio is the median of those within each round (in \
             brackets their\nrange). One worker or thread each, TLS 1.3 (AES-256-GCM, X25519, ECDSA P-256), messages of text",
            self.rounds, self.seconds, self.cpus
        );
        let what = match self.job {
            Job::Relay => {
                ", a plain-ws echo behind.\nwsgate runs with its defaults, so it also checks that text is UTF-8, both \
                 ways (utf8 = true). Peers have the buffers that are\nbest for their speed and, for idle connections, \
                 those that are best for their memory.\n"
            }
            Job::Chat => {
                ": one member\nspeaks, and speaks again when all have heard it. Both check that text is UTF-8, escape it, and \
                 put its author in front.\n"
            }
        };
        how + what
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
        let rows = vec![Row::of("CPU".to_owned(), "µs", samples)];
        let programs = ["wsgate 1", "nginx 2", "HAProxy 3"].map(str::to_owned).to_vec();
        let peers = ["nginx", "haproxy"].map(str::to_owned).to_vec();
        Comparison { job: Job::Relay, peers, programs, cpus: 2, rounds: 3, seconds: 2.0, rows }
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let row = &comparison().rows[0];
        assert_eq!((row.best, row.medians.as_slice()), (1, &[9.0, 10.0, 11.0][..]));
        assert_eq!((row.ratio, row.ratio_range), (0.8, (0.75, 0.9)));
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
