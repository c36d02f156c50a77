//! Answers that the proxy makes itself, in the shape of the service that was called.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::super::client::Answer;
use super::super::service::Protocol;
use super::super::xml;
use super::call::Call;

/// As moto's own answers have it.
const REQUEST: &str = "keelwright-test";

/// An answer to a call in a form; `inner` is what the call's result holds.
pub fn success(call: &Call, inner: &str) -> Answer {
    let (action, namespace) = (&call.action, call.service.namespace());
    let body = match call.service.protocol() {
        Protocol::Ec2 => format!("{inner}<requestId>{REQUEST}</requestId>"),
        Protocol::Query
        | Protocol::Json
        | Protocol::Rest
        | Protocol::RestJson
        | Protocol::Cbor
        | Protocol::S3 => format!(
            "<{action}Result>{inner}</{action}Result>\
             <ResponseMetadata><RequestId>{REQUEST}</RequestId></ResponseMetadata>"
        ),
    };
    answer(200, "text/xml", format!("<{action}Response xmlns=\"{namespace}\">{body}</{action}Response>"))
}

/// An error.
pub fn refusal(call: &Call, status: u16, code: &str, message: &str) -> Answer {
    let namespace = call.service.namespace();
    let error = xml::element("Code", code) + &xml::element("Message", message);
    let body = match call.service.protocol() {
        Protocol::Ec2 => format!(
            "<Response><Errors><Error>{error}</Error></Errors><RequestID>{REQUEST}</RequestID></Response>"
        ),
        Protocol::Query | Protocol::Rest => {
            let side = if status < 500 { "Sender" } else { "Receiver" };
            format!(
                "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{side}</Type>{error}</Error>\
                 <RequestId>{REQUEST}</RequestId></ErrorResponse>"
            )
        }
        Protocol::S3 => format!("<Error>{error}<RequestId>{REQUEST}</RequestId></Error>"),
        Protocol::Json => {
            let body = json!({"__type": code, "message": message}).to_string();
            return answer(status, "application/x-amz-json-1.1", body);
        }
        Protocol::RestJson => {
            let mut refusal = answer(status, "application/json", json!({"message": message}).to_string());
            refusal.headers.insert("x-amzn-errortype", code.parse().unwrap());
            return refusal;
        }
        Protocol::Cbor => {
            let mut refusal = cbor(&json!({"__type": code, "message": message}));
            refusal.status = status;
            return refusal;
        }
    };
    answer(status, "text/xml", body)
}

/// An answer in CBOR.
pub fn cbor(body: &Value) -> Answer {
    let headers = HeaderMap::from_iter([
        (http::header::CONTENT_TYPE, HeaderValue::from_static("application/cbor")),
        (HeaderName::from_static("smithy-protocol"), HeaderValue::from_static("rpc-v2-cbor")),
    ]);
    Answer { status: 200, headers, body: super::cbor::encode(body).into() }
}

fn answer(status: u16, kind: &'static str, body: String) -> Answer {
    let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    Answer { status, headers, body: body.into() }
}
