//! What a thread of the generator itself spends.

/// What this thread has had of the processor, and what it has waited for it.
pub(crate) struct Spent {
    pub(crate) cpu: f64,
    pub(crate) waited: f64,
}

impl Spent {
    /// Up to now, in seconds.
    pub(crate) fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let waited = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let waited = waited.and_then(|text| text.split(' ').nth(1)?.trim().parse::<f64>().ok());
        Self { cpu: time.tv_sec as f64 + time.tv_nsec as f64 / 1e9, waited: waited.unwrap_or(0.0) / 1e9 }
    }
}
