//! Why a TLS handshake failed, in one word of a few, for counting.

use std::io::{self, ErrorKind};

use rustls::{AlertDescription, Error};

/// One of `timeout`, `closed`, `certificate_refused` (the client does not trust ours), `client_certificate` (its own is
/// not good), `incompatible`, `alert`, `protocol`, `not_tls` and `connection`.
#[must_use]
pub(crate) fn tls_failure(error: &io::Error) -> &'static str {
    match (error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()), error.kind()) {
        (Some(Error::AlertReceived(alert)), _) if is_about_certificate(*alert) => "certificate_refused",
        (Some(Error::AlertReceived(_)), _) => "alert",
        (Some(Error::PeerIncompatible(_)), _) => "incompatible",
        (Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)), _) => "client_certificate",
        (Some(_), _) => "protocol",
        (None, ErrorKind::TimedOut) => "timeout",
        (None, ErrorKind::UnexpectedEof) => "closed",
        (None, ErrorKind::InvalidData) => "not_tls",
        (None, _) => "connection",
    }
}

/// RFC 8446 §6.2.
const fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_a_word() {
        let tls = |error: Error| tls_failure(&io::Error::new(ErrorKind::InvalidData, error));
        assert_eq!(tls(Error::AlertReceived(AlertDescription::UnknownCA)), "certificate_refused");
        assert_eq!(tls(Error::AlertReceived(AlertDescription::HandshakeFailure)), "alert");
        assert_eq!(tls(Error::NoCertificatesPresented), "client_certificate");
        assert_eq!(tls(Error::DecryptError), "protocol");
        assert_eq!(tls_failure(&io::Error::new(ErrorKind::InvalidData, "plain HTTP")), "not_tls");
        assert_eq!(tls_failure(&ErrorKind::TimedOut.into()), "timeout");
        assert_eq!(tls_failure(&ErrorKind::UnexpectedEof.into()), "closed");
        assert_eq!(tls_failure(&ErrorKind::ConnectionReset.into()), "connection");
    }
}
