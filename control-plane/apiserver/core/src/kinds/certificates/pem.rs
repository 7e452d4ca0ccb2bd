//! What is inside of PEM: requests and certificates.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The blocks of a text, up to the first that is none.
pub(super) fn blocks(text: &[u8]) -> Vec<Pem> {
    Pem::iter_from_buffer(text).map_while(Result::ok).collect()
}

/// Checks a certificate signing request and its signature; says what is wrong.
pub(super) fn check_request(text: &[u8]) -> Result<(), &'static str> {
    let block = blocks(text).into_iter().next().filter(|block| block.label == "CERTIFICATE REQUEST");
    let block = block.ok_or("PEM block type must be CERTIFICATE REQUEST")?;
    check_request_der(&block.contents)
}

/// The same for the bare bytes.
pub(super) fn check_request_der(der: &[u8]) -> Result<(), &'static str> {
    let (rest, request) =
        X509CertificationRequest::from_der(der).map_err(|_| "asn1: structure error: not a certificate request")?;
    if !rest.is_empty() {
        return Err("asn1: syntax error: trailing data");
    }
    request.verify_signature().map_err(|_| "x509: the signature does not match the public key")
}

/// The public key a request is for, as it is encoded.
pub(super) fn requested_key(der: &[u8]) -> Option<Vec<u8>> {
    let (_, request) = X509CertificationRequest::from_der(der).ok()?;
    Some(key(&request.certification_request_info.subject_pki))
}

/// A public key as it is encoded.
pub(super) fn key(info: &SubjectPublicKeyInfo<'_>) -> Vec<u8> {
    info.raw.to_vec()
}

/// Checks a chain of certificates; says what is wrong.
pub(super) fn check_chain(text: &[u8]) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let blocks = blocks(text);
    for block in &blocks {
        if block.label != "CERTIFICATE" {
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        block.parse_x509().map_err(|_| "x509: malformed certificate".to_owned())?;
    }
    if blocks.is_empty() { Err("must contain at least one CERTIFICATE PEM block".to_owned()) } else { Ok(()) }
}
