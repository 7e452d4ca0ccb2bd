//! Query strings and percent encoding: bytes of clients, which may be anything.

/// Decodes percent escapes; with `plus`, a plus is a space. Bytes that are no UTF-8 become the replacement character.
fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = match bytes[at] {
            b'%' => text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        match (bytes[at], escaped) {
            (_, Some(byte)) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (b'+', None) if plus => out.push(b' '),
            (byte, None) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The parameters of a query, decoded, in order.
pub fn parameters(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        })
        .collect()
}

/// A path, decoded.
pub fn path(path: &str) -> String {
    decode(path, false)
}

/// The first value of a parameter.
pub fn first<'a>(parameters: &'a [(String, String)], key: &str) -> Option<&'a str> {
    parameters.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_broken_ones_kept() {
        let query = parameters("labelSelector=a%20in+(b%2Cc)&x&limit=5&bad=%zz%4");
        assert_eq!(first(&query, "labelSelector"), Some("a in (b,c)"));
        assert_eq!(first(&query, "x"), Some(""));
        assert_eq!(first(&query, "bad"), Some("%zz%4"));
        assert_eq!(path("/a%2Fb+c"), "/a/b+c");
        assert_eq!(path("%e2%82"), "\u{fffd}");
        assert_eq!(path("%é1"), "%é1");
    }
}
