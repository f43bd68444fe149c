//! What Linux tells of this process: descriptors, memory and time, under the names that Prometheus' own clients have.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Ticks of a second in `/proc`, on every Linux that there is (proc_pid_stat(5), USER_HZ).
const TICKS: f64 = 100.0;

/// This process.
#[derive(Debug)]
pub(crate) struct Process {
    /// Seconds since 1970.
    started: f64,
}

impl Process {
    /// It starts now.
    #[must_use]
    pub(crate) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: since.as_secs_f64() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = read("status");
        let gauges = [
            ("process_start_time", "When it started: seconds since 1970", Some(Unit::Seconds), Some(self.started)),
            ("process_open_fds", "Descriptors in use", None, open_descriptors()),
            ("process_max_fds", "How many there may be", None, most_descriptors(&read("limits"))),
            ("process_resident_memory", "Memory in use", Some(Unit::Bytes), kib_of(&status, "VmRSS:")),
        ];
        for (name, help, unit, value) in gauges {
            let gauge = ConstGauge::new(value.unwrap_or(f64::NAN));
            gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?)?;
        }
        let time = ConstCounter::new(processor_time(&read("stat")).unwrap_or_default());
        let help = "Time on the processors";
        time.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?)
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default()
}

/// Since Linux 6.2 the folder's size is their number; before, they are counted, which takes a while where there are many.
fn open_descriptors() -> Option<f64> {
    let told = fs::metadata("/proc/self/fd").ok()?.len();
    let count = if told > 0 { told } else { fs::read_dir("/proc/self/fd").ok()?.count() as u64 };
    Some(count as f64)
}

fn most_descriptors(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

fn kib_of(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_ascii_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

/// In user mode and in the kernel, in seconds: fields 14 and 15, counted behind the name, which may have spaces.
fn processor_time(stat: &str) -> Option<f64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_tells_is_understood() {
        let limits =
            "Limit Soft Limit Hard Limit Units\nMax open files            1024                 524288   files\n";
        assert_eq!(most_descriptors(limits), Some(1024.0));
        assert_eq!(most_descriptors("Max open files            unlimited   unlimited   files"), Some(f64::INFINITY));
        assert_eq!(kib_of("Name:\tws\nVmRSS:\t    2048 kB\n", "VmRSS:"), Some(2_097_152.0));
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 3 0 100 0 0";
        assert_eq!(processor_time(stat), Some(4.0));
    }

    #[test]
    fn this_process_has_what_every_process_has() {
        assert!(open_descriptors() >= Some(3.0));
        assert!(most_descriptors(&read("limits")) >= open_descriptors());
        assert!(kib_of(&read("status"), "VmRSS:") > Some(1024.0 * 1024.0));
        assert!(processor_time(&read("stat")).is_some());
    }
}
