//! The little of DER that is written here: a public key in the form whose digest names it, and a private key in the form libraries read.

use super::{Curve, PublicKey};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
/// rsaEncryption and its absent parameters.
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
/// id-ecPublicKey
const EC: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";

/// The identifier of a curve, as an element.
pub(super) const fn curve_identifier(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
        Curve::P384 => b"\x06\x05\x2b\x81\x04\x00\x22",
        Curve::P521 => b"\x06\x05\x2b\x81\x04\x00\x23",
    }
}

/// `SubjectPublicKeyInfo`.
pub(super) fn subject_public_key_info(key: &PublicKey) -> Vec<u8> {
    let (algorithm, key) = match key {
        PublicKey::Rsa { modulus, exponent } => {
            (RSA.to_vec(), element(SEQUENCE, &[unsigned(modulus), unsigned(exponent)].concat()))
        }
        PublicKey::Ecdsa { curve, point } => (ec(*curve), point.clone()),
    };
    let bits = element(BIT_STRING, &[vec![0], key].concat());
    element(SEQUENCE, &[element(SEQUENCE, &algorithm), bits].concat())
}

/// PKCS #8 around the older form of a private key on a curve.
pub(super) fn pkcs8(curve: Curve, sec1: &[u8]) -> Vec<u8> {
    let parts = [element(INTEGER, &[0]), element(SEQUENCE, &ec(curve)), element(OCTET_STRING, sec1)];
    element(SEQUENCE, &parts.concat())
}

fn ec(curve: Curve) -> Vec<u8> {
    [EC, curve_identifier(curve)].concat()
}

fn unsigned(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[sign, number].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        out.push(0x80 | bytes.len() as u8);
        out.extend(bytes);
    }
    out.extend_from_slice(content);
    out
}
