//! Sends spans to a collector by OTLP over HTTP, on a thread of its own: no worker waits for it.

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

use crate::client::lines::{Failure, Lines, Question};
use crate::client::{self, Trust};
use crate::config::otlp::Otlp;
use crate::lifecycle::clock::timeout;
use crate::telemetry::spans::{Fact, Outbox, Span};
use crate::wire::trace::{Trace, TraceParent};

/// Bytes of a collector's answer at most.
const ANSWER: usize = 1 << 20;

/// The thread that sends. Dropped, it sends what waits, as long as the collector takes it: `timeout` at most.
pub(crate) struct Exporter {
    outbox: Arc<Outbox>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Exporter {
    /// Starts it.
    ///
    /// # Errors
    /// There can be no more threads or descriptors, or the variables of the environment for OTLP make no sense.
    pub(crate) fn start(wishes: Otlp, trust: Trust, outbox: Arc<Outbox>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (ask, questions) = mpsc::channel(1);
        let exporter = exporter(&wishes, Desk(ask)).map_err(io::Error::other)?;
        let sender = Sender { wishes, trust, lines: Lines::new(0), why: RefCell::default() };
        let work = Work { runtime, exporter, questions, sender, outbox: Arc::clone(&outbox) };
        let thread = thread::Builder::new().name("wsgate-otlp".to_owned()).spawn(move || work.run())?;
        Ok(Self { outbox, thread: Some(thread) })
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.outbox.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The specification's own: how spans are written, tried again, and which headers `OTEL_EXPORTER_OTLP_HEADERS` adds.
fn exporter(wishes: &Otlp, desk: Desk) -> Result<SpanExporter, opentelemetry_otlp::ExporterBuildError> {
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(desk)
        // Where it really goes is the desk's business: it knows sockets and authorities.
        .with_endpoint(format!("http://{}{}", wishes.host, wishes.target))
        .with_timeout(wishes.timeout)
        .with_retry_policy(RetryPolicy::recommended())
        .build()?;
    let resource = Resource::builder_empty()
        .with_detector(Box::new(EnvResourceDetector::new()))
        .with_service_name(wishes.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    exporter.set_resource(&resource);
    Ok(exporter)
}

/// All that the thread has.
struct Work {
    runtime: Runtime,
    exporter: SpanExporter,
    questions: mpsc::Receiver<Asked>,
    sender: Sender,
    outbox: Arc<Outbox>,
}

impl Work {
    fn run(mut self) {
        let (mut was_well, mut deadline) = (true, None);
        while let Some((batch, is_over)) = self.outbox.take() {
            let spans: Vec<SpanData> = batch.iter().filter_map(data).collect();
            let count = spans.len();
            if is_over && Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + self.sender.wishes.timeout)
            {
                self.outbox.dropped(count, "export");
                continue;
            }
            if count == 0 {
                continue;
            }
            match self.send(spans) {
                Ok(()) => {
                    self.outbox.sent(count);
                    if !was_well {
                        tracing::info!(collector = self.sender.wishes.host, "spans are exported again");
                    }
                    was_well = true;
                }
                Err(error) => {
                    self.outbox.dropped(count, "export");
                    // Once, until it is well again.
                    if was_well {
                        tracing::warn!(collector = self.sender.wishes.host, %error, "spans cannot be exported");
                    }
                    was_well = false;
                }
            }
        }
    }

    fn send(&mut self, spans: Vec<SpanData>) -> Result<(), String> {
        let Self { runtime, exporter, questions, sender, .. } = self;
        let within = sender.wishes.timeout;
        let sent = runtime.block_on(async {
            tokio::select! {
                sent = timeout(within, exporter.export(spans)) => sent,
                never = sender.serve(questions) => never,
            }
        });
        let why = sender.why.take();
        sent.map_err(|_| "no answer in time".to_owned())?.map_err(|error| why.unwrap_or_else(|| error.to_string()))
    }
}

/// A request of the exporter's, and where its answer goes.
type Asked = (Request<Bytes>, oneshot::Sender<Result<Response<Bytes>, HttpError>>);

/// What the exporter takes for a client: it leaves the request for whoever can send it.
#[derive(Debug)]
struct Desk(mpsc::Sender<Asked>);

impl HttpClient for Desk {
    fn send_bytes<'d, 'a>(
        &'d self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>
    where
        'd: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.0.send((request, answer)).await?;
            answered.await?
        })
    }
}

/// Sends the requests, each on a connection of its own.
struct Sender {
    wishes: Otlp,
    trust: Trust,
    lines: Lines,
    /// Why there was no answer: the exporter tells nobody.
    why: RefCell<Option<String>>,
}

/// Why there is no answer.
#[derive(Debug)]
struct Unanswered(HttpError);

impl From<hyper::Error> for Unanswered {
    fn from(error: hyper::Error) -> Self {
        Self(error.into())
    }
}

impl Failure for Unanswered {
    /// No connection is used twice, so that there is none to ask again for.
    fn is_no_answer(&self) -> bool {
        false
    }
}

impl Sender {
    /// Never ends.
    async fn serve<T>(&self, questions: &mut mpsc::Receiver<Asked>) -> T {
        while let Some((request, answer)) = questions.recv().await {
            // Who has asked may have given up.
            let said = self.ask(request).await.map_err(|Unanswered(error)| error);
            self.why.replace(said.as_ref().err().map(ToString::to_string));
            let _ = answer.send(said);
        }
        pending().await
    }

    /// Cancel safe: a dropped future drops the connection.
    async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Unanswered> {
        let connect = async || {
            client::connect(&self.wishes.transport, &self.trust).await.map_err(|error| Unanswered(error.into()))
        };
        let read = async |answer: Response<hyper::body::Incoming>| {
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER).collect().await.map_err(Unanswered)?;
            Ok((Response::from_parts(head, body.to_bytes()), None))
        };
        self.lines.put(self.question(request), self.wishes.timeout, connect, read).await
    }

    fn question(&self, request: Request<Bytes>) -> Question {
        let (mut head, body) = request.into_parts();
        head.uri = self.wishes.target.parse().unwrap_or_default();
        if let Ok(host) = HeaderValue::from_str(&self.wishes.host) {
            head.headers.insert(HOST, host);
        }
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        Request::from_parts(head, Full::from(body))
    }
}

/// A span as it is exported; `None` where the client does not record its trace.
fn data(span: &Span) -> Option<SpanData> {
    let own = || Trace::new(client::random(), client::random()).to_string().into();
    let place = place(&span.trace.clone().unwrap_or_else(own))?;
    let attribute = |(name, fact): &(&'static str, Fact)| match fact {
        Fact::Text(text) => KeyValue::new(*name, text.clone()),
        Fact::Number(number) => KeyValue::new(*name, i64::try_from(*number).unwrap_or(i64::MAX)),
    };
    Some(SpanData {
        span_context: SpanContext::new(place.0, place.1, TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: place.2.unwrap_or(SpanId::INVALID),
        parent_span_is_remote: place.2.is_some(),
        span_kind: SpanKind::Server,
        name: span.name.clone().into(),
        start_time: span.ended.checked_sub(span.took).unwrap_or(span.ended),
        end_time: span.ended,
        attributes: span.facts.iter().map(attribute).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: span.fault.clone().map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("wsgate").with_version(env!("CARGO_PKG_VERSION")).build(),
    })
}

/// Trace, own span and the client's, of a record's words for them; `None` where it is not sampled.
fn place(words: &str) -> Option<(TraceId, SpanId, Option<SpanId>)> {
    let mut words = words.split('-');
    let trace = u128::from_str_radix(words.next()?, 16).ok()?;
    let span = u64::from_str_radix(words.next()?, 16).ok()?;
    let flags = u8::from_str_radix(words.next()?, 16).ok()?;
    let above = words.next().and_then(|above| u64::from_str_radix(above, 16).ok());
    (flags & TraceParent::SAMPLED != 0).then(|| (trace.into(), span.into(), above.map(Into::into)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn span(trace: Option<&str>) -> Span {
        let (took, ended) = (Duration::from_secs(3), SystemTime::UNIX_EPOCH + Duration::from_secs(10));
        let facts = vec![("text", Fact::Text("x".to_owned())), ("number", Fact::Number(u64::MAX))];
        Span { name: "websocket /x".to_owned(), trace: trace.map(Into::into), took, ended, fault: None, facts }
    }

    #[test]
    fn a_span_has_its_place_in_the_clients_trace() {
        let words = "4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-01-00f067aa0ba902b7";
        let data = data(&span(Some(words))).expect("sampled");
        assert_eq!(data.span_context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(data.span_context.span_id().to_string(), "0707070707070707");
        assert_eq!((data.parent_span_id.to_string().as_str(), data.parent_span_is_remote), ("00f067aa0ba902b7", true));
        assert_eq!(data.start_time, SystemTime::UNIX_EPOCH + Duration::from_secs(7));
        assert_eq!(data.attributes, [KeyValue::new("text", "x"), KeyValue::new("number", i64::MAX)]);
        assert!(super::data(&span(Some("4b-07-00-f0"))).is_none(), "the client does not record it");
    }

    #[test]
    fn without_a_client_each_span_has_a_trace_of_its_own() {
        let [one, two] = [(); 2].map(|()| data(&span(None)).expect("sampled"));
        assert!(one.span_context.is_valid() && one.span_context.trace_id() != two.span_context.trace_id());
        assert_eq!((one.parent_span_id, one.parent_span_is_remote), (SpanId::INVALID, false));
        let failed = Span { fault: Some("1011 by backend: gone".to_owned()), ..span(None) };
        assert_eq!(data(&failed).expect("sampled").status, Status::error("1011 by backend: gone"));
    }
}
