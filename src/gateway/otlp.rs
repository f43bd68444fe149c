//! Spans of connections: sent to a collector where the owner wishes it, in a program that was built for it.

use crate::config::{Config, Problem, Problems};
use crate::telemetry::metrics::Metrics;

#[cfg(feature = "otel")]
pub(super) use self::built::{end, start, with_spans};
#[cfg(not(feature = "otel"))]
pub(super) use self::not_built::{end, start, with_spans};

/// Whether what is wished can be.
///
/// # Errors
/// The program was built without it, or authorities that cannot be read.
pub(super) fn prepare(config: &Config) -> Result<(), Problems> {
    let Some(_wishes) = &config.otlp else { return Ok(()) };
    #[cfg(feature = "otel")]
    return built::trust(_wishes).map(drop);
    #[cfg(not(feature = "otel"))]
    {
        let wrong = "this wsgate was built without otel";
        let problem = Problem::new("", "otlp", wrong).allowing("nothing, or a build with --features otel");
        Err(Problems::new(vec![problem]))
    }
}

#[cfg(feature = "otel")]
mod built {
    use std::io;
    use std::sync::Arc;

    use super::{Config, Metrics, Problem, Problems};
    use crate::client::Trust;
    use crate::config::otlp::Otlp;
    use crate::otlp::Exporter;
    use crate::telemetry::spans::Outbox;
    use crate::tls;

    pub(super) fn trust(wishes: &Otlp) -> Result<Trust, Problems> {
        let named = |found: Problems| {
            let named = found.0.into_iter().map(|problem| Problem { key: "otlp.ca".to_owned(), ..problem });
            Problems::new(named.collect())
        };
        match &wishes.ca {
            Some(path) => Ok(Trust::only(tls::read_roots(path).map_err(named)?)),
            None => Ok(Trust::public()),
        }
    }

    /// From now on connections leave spans, if anybody collects them.
    pub(in crate::gateway) fn with_spans(metrics: Metrics, config: &Config) -> Metrics {
        match &config.otlp {
            Some(wishes) => metrics.with_spans(Arc::new(Outbox::new(wishes.queue))),
            None => metrics,
        }
    }

    /// Starts to send them.
    pub(in crate::gateway) fn start(metrics: &Metrics, config: &Config) -> io::Result<Option<Exporter>> {
        let (Some(wishes), Some(outbox)) = (&config.otlp, &metrics.spans) else { return Ok(None) };
        let trust = trust(wishes).map_err(io::Error::other)?;
        Exporter::start(wishes.clone(), trust, Arc::clone(outbox)).map(Some)
    }

    /// Sends what waits.
    pub(in crate::gateway) fn end(exporter: Option<Exporter>) {
        drop(exporter);
    }
}

#[cfg(not(feature = "otel"))]
mod not_built {
    use std::io;

    use super::{Config, Metrics};

    pub(in crate::gateway) fn with_spans(metrics: Metrics, _: &Config) -> Metrics {
        metrics
    }

    pub(in crate::gateway) fn start(_: &Metrics, _: &Config) -> io::Result<Option<()>> {
        Ok(None)
    }

    pub(in crate::gateway) fn end(_: Option<()>) {}
}
