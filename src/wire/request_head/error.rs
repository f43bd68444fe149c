//! What can be wrong with a request head, what its sender is told, and the name under which it is counted.

/// What is wrong with a head; each is answered with 400 and the end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// No request line of HTTP/1 (RFC 9112 §3).
    NotHttp,
    /// The preface of HTTP/2 (RFC 9113 §3.4).
    Http2,
    /// Neither HTTP/1.0 nor HTTP/1.1 (RFC 9112 §2.3).
    Version,
    /// A CR without its LF (RFC 9112 §2.2).
    BareCr,
    /// A LF without its CR (RFC 9112 §2.2).
    BareLf,
    /// A NUL byte (RFC 9110 §5.5).
    Nul,
    /// A header line that goes on in the next line (RFC 9112 §5.2).
    ObsFold,
    /// White space between a field's name and its colon (RFC 9112 §5.1).
    SpaceBeforeColon,
    /// A line that is no header field (RFC 9112 §5).
    BadField,
    /// More than [`MAX_HEADERS`](super::MAX_HEADERS) lines (RFC 9110 §5.4).
    TooManyHeaders,
    /// More than one `Content-Length`, equal or not (RFC 9112 §6.3).
    TwoLengths,
    /// A `Content-Length` that is no number (RFC 9112 §6.3).
    BadLength,
    /// `Content-Length` and `Transfer-Encoding` together (RFC 9112 §6.1).
    LengthAndCoding,
    /// A `Transfer-Encoding` other than `chunked`, or one in HTTP/1.0 (RFC 9112 §6.1).
    UnknownCoding,
    /// No `Host` in HTTP/1.1 (RFC 9112 §3.2).
    NoHost,
    /// More than one `Host` (RFC 9112 §3.2).
    TwoHosts,
    /// A `Host` that is no host with an optional port (RFC 9110 §7.2).
    BadHost,
    /// Plain HTTP where TLS is spoken.
    NotTls,
}

impl HeadError {
    /// What was wrong, in one plain line without its line end.
    #[must_use]
    pub fn line(self) -> &'static str {
        match self {
            Self::NotHttp => "this is not an HTTP/1.1 request",
            Self::Http2 => "HTTP/2 is not spoken here, use HTTP/1.1",
            Self::Version => "the HTTP version must be 1.1",
            Self::BareCr => "the request head has a CR without LF",
            Self::BareLf => "the request head has a LF without CR",
            Self::Nul => "the request head has a NUL byte",
            Self::ObsFold => "the request head has a header folded over two lines",
            Self::SpaceBeforeColon => "the request head has a space before a colon",
            Self::BadField => "the request head has a line that is not a header",
            Self::TooManyHeaders => "the request head has more than 100 headers",
            Self::TwoLengths => "the request has more than one Content-Length",
            Self::BadLength => "the request's Content-Length is not a number",
            Self::LengthAndCoding => "the request has both Content-Length and Transfer-Encoding",
            Self::UnknownCoding => "the request's Transfer-Encoding is not plain chunked",
            Self::NoHost => "the request has no Host",
            Self::TwoHosts => "the request has more than one Host",
            Self::BadHost => "the request's Host is not a host with an optional port",
            Self::NotTls => "this port speaks TLS: use https:// or wss://",
        }
    }

    /// The name under which it is counted; stable.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NotHttp => "head_not_http",
            Self::Http2 => "head_http2",
            Self::Version => "head_version",
            Self::BareCr => "head_bare_cr",
            Self::BareLf => "head_bare_lf",
            Self::Nul => "head_nul",
            Self::ObsFold => "head_obs_fold",
            Self::SpaceBeforeColon => "head_space_before_colon",
            Self::BadField => "head_bad_field",
            Self::TooManyHeaders => "head_too_many_headers",
            Self::TwoLengths => "head_two_lengths",
            Self::BadLength => "head_bad_length",
            Self::LengthAndCoding => "head_length_and_coding",
            Self::UnknownCoding => "head_unknown_coding",
            Self::NoHost => "head_no_host",
            Self::TwoHosts => "head_two_hosts",
            Self::BadHost => "head_bad_host",
            Self::NotTls => "plain_http_on_tls",
        }
    }
}
