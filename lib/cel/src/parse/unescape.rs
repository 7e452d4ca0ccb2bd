//! What a quoted text means.

/// The text between the quotes of a string literal, escapes resolved.
pub(super) fn string(literal: &str) -> Result<String, &'static str> {
    let (body, raw) = body(literal);
    if raw {
        return Ok(lines(body));
    }
    let body = lines(body);
    let mut out = String::with_capacity(body.len());
    let mut rest = body.as_str();
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (code, length, _) = escape(&rest[at..])?;
        out.push(char::from_u32(code).ok_or("invalid unicode code point")?);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The bytes between the quotes of a bytes literal. `\x` and octal escapes are bytes; `\u` is not known.
pub(super) fn bytes(literal: &str) -> Result<Vec<u8>, &'static str> {
    let (body, raw) = body(literal);
    let body = lines(body);
    if raw {
        return Ok(body.into_bytes());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body.as_str();
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let (code, length, unicode) = escape(&rest[at..])?;
        if unicode {
            return Err("unable to unescape string");
        }
        out.push(u8::try_from(code).map_err(|_| "unable to unescape string")?);
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// Without prefix and quotes, and whether it is raw.
fn body(literal: &str) -> (&str, bool) {
    let quote = literal.find(['"', '\'']).unwrap_or(0);
    let raw = literal[..quote].contains(['r', 'R']);
    let rest = &literal[quote..];
    let width = if rest.len() >= 6 && (rest.starts_with("\"\"\"") || rest.starts_with("'''")) { 3 } else { 1 };
    (&rest[width..rest.len() - width], raw)
}

/// Line ends are one character whatever wrote them.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// The code an escape stands for, how long it is, and whether it was written as Unicode.
fn escape(text: &str) -> Result<(u32, usize, bool), &'static str> {
    const WRONG: &str = "unable to unescape string";
    let bytes = text.as_bytes();
    let code = match bytes.get(1).ok_or("unable to unescape string, found '\\' as last character")? {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => 10,
        b'r' => 13,
        b't' => 9,
        b'v' => 11,
        quoted @ (b'\\' | b'\'' | b'"' | b'`' | b'?') => u32::from(*quoted),
        kind @ (b'x' | b'X' | b'u' | b'U') => {
            let digits = match kind {
                b'x' | b'X' => 2,
                b'u' => 4,
                _ => 8,
            };
            let text = text.get(2..2 + digits).ok_or(WRONG)?;
            if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(WRONG);
            }
            let code = u32::from_str_radix(text, 16).map_err(|_| WRONG)?;
            return Ok((code, 2 + digits, digits > 2));
        }
        b'0'..=b'3' => {
            let text = text.get(1..4).ok_or("unable to unescape octal sequence in string")?;
            let code = u32::from_str_radix(text, 8).map_err(|_| "unable to unescape octal sequence in string")?;
            return Ok((code, 4, false));
        }
        _ => return Err(WRONG),
    };
    Ok((code, 2, false))
}
