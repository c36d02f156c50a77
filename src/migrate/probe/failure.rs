//! Why a question had no good answer, in words.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// What is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Connect,
    Handshake,
    Answer,
    Page,
}

impl Stage {
    /// How far it came, when time ran out in it.
    fn waiting(self) -> &'static str {
        match self {
            Stage::Connect => "nobody accepted the connection",
            Stage::Handshake => "it connected, and the TLS handshake did not end",
            Stage::Answer => "it connected and asked, and nothing came back",
            Stage::Page => "the answer began and did not end",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Connect => "while it was made",
            Stage::Handshake => "during the TLS handshake",
            Stage::Answer => "before an answer",
            Stage::Page => "in the middle of the answer",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("no answer within {seconds} s: {}", stage.waiting())]
    Late { seconds: u32, stage: Stage },
    #[error("status {got}, wanted {wanted}")]
    Status { got: u16, wanted: String },
    #[error("{0}")]
    Broken(String),
    #[error("{0}")]
    Certificate(String),
    /// It was never asked.
    #[error("this cannot be asked: {0}")]
    Question(String),
}

/// What a connection that fails says.
pub(super) fn broken(stage: Stage, error: &io::Error) -> Failure {
    if let Some(error) = inside::<rustls::Error>(error) {
        return handshake(error);
    }
    Failure::Broken(match error.kind() {
        // Nothing else can be refused, and before it is made there is nothing to reset.
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            format!("the connection was reset {stage}")
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionAborted => {
            format!("the connection was closed {stage}")
        }
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        _ => format!("the connection failed {stage}: {error}"),
    })
}

/// What an exchange of HTTP that fails says.
pub(super) fn exchange(stage: Stage, error: &hyper::Error) -> Failure {
    if let Some(error) = error.source().and_then(inside::<io::Error>) {
        return broken(stage, error);
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Failure::Broken(format!("the connection was closed {stage}"));
    }
    if error.is_parse() {
        return Failure::Broken(format!("the answer is not HTTP/1.1: {error}"));
    }
    Failure::Broken(match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}

/// The first cause of a type, itself included.
fn inside<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // What an io::Error was made of is not its source.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// What a TLS handshake that fails says.
fn handshake(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(error) => Failure::Certificate(certificate(error)),
        rustls::Error::AlertReceived(alert) => Failure::Broken(refused(*alert)),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            Failure::Broken("no TLS is spoken there".to_owned())
        }
        other => Failure::Broken(format!("the TLS handshake failed: {other}")),
    }
}

fn refused(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnrecognisedName => "the server does not know the server name".to_owned(),
        other => format!("the server ended the TLS handshake: {other:?}"),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("certificate is for {}, not {}", presented_names(presented), text_of(expected))
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("certificate expired on {}", date(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("certificate is not valid before {}", date(*not_before))
        }
        CertificateError::UnknownIssuer => {
            "certificate is signed by nobody that this machine trusts".to_owned()
        }
        CertificateError::BadSignature => "certificate has a signature that is not its issuer's".to_owned(),
        other => format!("certificate cannot be trusted: {other}"),
    }
}

fn text_of(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

/// `DnsName("a.example.org")` becomes `a.example.org`.
fn presented_names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name".to_owned();
    }
    let bare = |name: &String| match name.split_once('(') {
        Some((_, inner)) => inner.trim_end_matches(')').trim_matches('"').to_owned(),
        None => name.clone(),
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match Timestamp::from_second(seconds) {
        Ok(time) => time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string(),
        // Past what a calendar has.
        Err(_) => format!("second {seconds} since 1970"),
    }
}
