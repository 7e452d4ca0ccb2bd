//! Addresses of things: `https://host:80/path?query`.

use std::collections::BTreeMap;

use cel::value::{Key, Text};
use cel::{Error, Library, Type, Value};

use super::{Given, opaque, opaque_type, text, traversal};

const NAME: &str = "kubernetes.URL";

/// A URL in its parts, as Go's `net/url` takes them apart.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    scheme: String,
    host: String,
    path: String,
    query: String,
}
opaque_type!(Url, NAME);

pub(super) fn urls() -> Library {
    use Type::{Bool, String};
    let url = [Type::opaque(NAME)];
    Library::default()
        .named_type(NAME, Type::opaque(NAME))
        .global("url", "string_to_url", &[String], Type::opaque(NAME), |args| {
            let text = text(&args[0])?;
            Url::parse(text).map(Value::opaque).map_err(|why| {
                Error::new(format!("URL parse error during conversion from string: parse \"{text}\": {why}"))
            })
        })
        .costing(traversal)
        .global("isURL", "is_url_string", &[String], Bool, |args| Ok(Value::Bool(Url::parse(text(&args[0])?).is_ok())))
        .costing(traversal)
        .member("getScheme", "url_get_scheme", &url, String, |args| part(args, |url| url.scheme.clone()))
        .member("getHost", "url_get_host", &url, String, |args| part(args, |url| url.host.clone()))
        .member("getHostname", "url_get_hostname", &url, String, |args| part(args, |url| url.split_port().0.to_owned()))
        .member("getPort", "url_get_port", &url, String, |args| part(args, |url| url.split_port().1.to_owned()))
        .member("getEscapedPath", "url_get_escaped_path", &url, String, |args| part(args, |url| escaped(&url.path)))
        .member("getQuery", "url_get_query", &url, Type::map(String, Type::list(String)), query)
}

impl Url {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "invalid URI for request";
        if text.is_empty() {
            return Err("empty url");
        }
        if text.chars().any(|c| c.is_ascii_control()) {
            return Err("net/url: invalid control character in URL");
        }
        let (scheme, rest) = match text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.')) {
            Some(0) => ("", text),
            Some(at) if text[at..].starts_with(':') => {
                if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    return Err("first path segment in URL cannot contain colon");
                }
                (&text[..at], &text[at + 1..])
            }
            _ => ("", text),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.starts_with('/') {
            // Something such as `mailto:a` has no host; it is a request to nobody.
            if scheme.is_empty() {
                return Err(WRONG);
            }
            let host = String::new();
            return Ok(Self { scheme: scheme.to_ascii_lowercase(), host, path: String::new(), query: query.into() });
        }
        let (host, path) = match rest.strip_prefix("//") {
            Some(after) if !scheme.is_empty() || !rest.starts_with("///") => {
                let end = after.find('/').unwrap_or(after.len());
                (&after[..end], &after[end..])
            }
            _ => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
        if let Some((_, port)) = after.split_once(':')
            && !port.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err("invalid port after host");
        }
        if host.contains([' ', '<', '>', '"', '\\', '^', '`', '{', '|', '}']) {
            return Err("invalid character in host name");
        }
        if host.starts_with('[') != host.contains(']') {
            return Err("missing ']' in host");
        }
        let path = unescaped(path).ok_or("invalid URL escape")?;
        Ok(Self { scheme: scheme.to_ascii_lowercase(), host: host.into(), path, query: query.into() })
    }

    fn split_port(&self) -> (&str, &str) {
        if let Some((name, after)) = self.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return (name, after.strip_prefix(':').unwrap_or_default());
        }
        self.host.split_once(':').unwrap_or((&self.host, ""))
    }
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*byte);
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn escaped(path: &str) -> String {
    use std::fmt::Write as _;
    path.bytes().fold(String::with_capacity(path.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn part<'a>(args: &[Value<'a>], part: fn(&Url) -> String) -> Given<'a> {
    Ok(Value::string(part(opaque::<Url>(&args[0])?)))
}

fn query<'a>(args: &[Value<'a>]) -> Given<'a> {
    let url: &Url = opaque(&args[0])?;
    let mut found: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(name), Some(value)) = (unescaped(&name.replace('+', " ")), unescaped(&value.replace('+', " "))) {
            found.entry(name).or_default().push(Value::string(value));
        }
    }
    let entries = found.into_iter().map(|(name, values)| (Key::String(Text::Shared(name.into())), Value::list(values)));
    Ok(Value::map(entries.collect()))
}
