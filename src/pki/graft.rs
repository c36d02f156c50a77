//! Puts an issuer's name into a certificate byte for byte.
//!
//! rcgen keeps one value per kind of name part, so it cannot write `DC=corp, DC=example`, which is
//! what Windows' CAs are called, and path building compares names by their bytes. The certificate is
//! therefore signed again, around the very bytes of the CA's subject.

use rcgen::SigningKey;
use x509_parser::asn1_rs::{Any, FromDer};

use super::issue::IssueError;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// Version, serial number, algorithm, then the issuer (RFC 5280, TBSCertificate).
const ISSUER_INDEX: usize = 3;

/// The certificate `der` with `issuer` (DER of a Name) in it, signed by `key`.
pub(super) fn with_issuer(der: &[u8], issuer: &[u8], key: &impl SigningKey) -> Result<Vec<u8>, IssueError> {
    let parts = elements(content(der)?)?;
    let [signed, algorithm, _signature] = parts.as_slice() else { return Err(malformed()) };
    let mut body = Vec::with_capacity(signed.len() + issuer.len());
    for (index, part) in elements(content(signed)?)?.into_iter().enumerate() {
        body.extend_from_slice(if index == ISSUER_INDEX { issuer } else { part });
    }
    let signed = wrap(SEQUENCE, &body);
    let mut bits = vec![0];
    bits.extend(key.sign(&signed)?);
    Ok(wrap(SEQUENCE, &[signed.as_slice(), algorithm, &wrap(BIT_STRING, &bits)].concat()))
}

fn content(der: &[u8]) -> Result<&[u8], IssueError> {
    let (_, any) = Any::from_der(der).map_err(|_| malformed())?;
    Ok(any.data)
}

/// The elements of a sequence, each with its header.
fn elements(mut rest: &[u8]) -> Result<Vec<&[u8]>, IssueError> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (after, _) = Any::from_der(rest).map_err(|_| malformed())?;
        found.extend(rest.get(..rest.len() - after.len()));
        rest = after;
    }
    Ok(found)
}

fn malformed() -> IssueError {
    IssueError::Encode("rcgen wrote no certificate".to_owned())
}

/// Header and content, with the length in as few bytes as DER wants.
fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut der = vec![tag];
    match significant.as_slice() {
        [] => der.push(0),
        [short] if *short < 0x80 => der.push(*short),
        long => {
            // invariant: a usize has at most 8 bytes, so the count fits beside the flag.
            der.push(0x80 | long.len() as u8);
            der.extend_from_slice(long);
        }
    }
    der.extend_from_slice(content);
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_short_as_der_wants() {
        for (length, header) in [
            (0, vec![0x30, 0]),
            (127, vec![0x30, 127]),
            (128, vec![0x30, 0x81, 128]),
            (256, vec![0x30, 0x82, 1, 0]),
        ] {
            let der = wrap(SEQUENCE, &vec![0; length]);
            assert_eq!((&der[..header.len()], der.len()), (header.as_slice(), header.len() + length));
        }
    }
}
