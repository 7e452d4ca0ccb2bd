//! `--auth-token` as etcd writes it: `simple`, or `jwt,pub-key=…,priv-key=…,sign-method=…,ttl=…`.

use std::path::PathBuf;
use std::time::Duration;

use super::jwt::Method;

/// How long a signed token is good for if nothing is said.
const JWT_TTL: Duration = Duration::from_mins(5);

/// What tokens are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKind {
    /// Random words that every member remembers.
    Simple,
    /// Signed statements nobody has to remember.
    Jwt(JwtOptions),
}

/// How tokens are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtOptions {
    /// The algorithm.
    pub method: Method,
    /// The file of the key they are checked with.
    pub public_key: Option<PathBuf>,
    /// The file of the key they are signed with; the shared secret of the HMAC methods.
    pub private_key: Option<PathBuf>,
    /// How long one is good for.
    pub ttl: Duration,
}

impl TokenKind {
    /// Reads the flag; `duration` reads a time as Go writes it.
    pub fn parse(text: &str, duration: impl Fn(&str) -> Result<Duration, String>) -> Result<Self, String> {
        let mut parts = text.split(',');
        let kind = parts.next().unwrap_or_default();
        let mut options: Vec<(&str, &str)> = Vec::new();
        for part in parts {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("`{part}` is not written as name=value"))?;
            if options.iter().any(|(other, _)| *other == name) {
                return Err(format!("`{name}` is given twice"));
            }
            options.push((name, value));
        }
        match kind {
            "simple" => Ok(Self::Simple),
            "jwt" => jwt(&options, duration).map(Self::Jwt),
            _ => Err(format!("`{kind}`: only `simple` and `jwt` are known")),
        }
    }
}

fn jwt(options: &[(&str, &str)], duration: impl Fn(&str) -> Result<Duration, String>) -> Result<JwtOptions, String> {
    let (mut method, mut public_key, mut private_key, mut ttl) = (None, None, None, JWT_TTL);
    for (name, value) in options {
        match *name {
            "sign-method" => {
                let known = Method::parse(value).ok_or_else(|| format!("`{value}` is no signing method known here"))?;
                method = Some(known);
            }
            "pub-key" => public_key = Some(PathBuf::from(value)),
            "priv-key" => private_key = Some(PathBuf::from(value)),
            "ttl" => ttl = duration(value)?,
            // etcd passes over what it does not know; a mistyped name would go unnoticed.
            _ => return Err(format!("`{name}` is no option of jwt")),
        }
    }
    let method = method.ok_or("jwt needs sign-method")?;
    if public_key.is_none() && private_key.is_none() {
        return Err("jwt needs priv-key, or pub-key on a member that only checks tokens".to_owned());
    }
    if ttl.is_zero() {
        return Err("a ttl of nothing is no time to use a token".to_owned());
    }
    Ok(JwtOptions { method, public_key, private_key, ttl })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TokenKind, String> {
        TokenKind::parse(text, |text| if text == "1m" { Ok(Duration::from_mins(1)) } else { Err("no time".to_owned()) })
    }

    #[test]
    fn options_are_read_as_etcd_writes_them() {
        assert_eq!(parse("simple"), Ok(TokenKind::Simple));
        let options = JwtOptions {
            method: Method::Rs256,
            public_key: Some("a.pub".into()),
            private_key: Some("a.key".into()),
            ttl: Duration::from_mins(1),
        };
        assert_eq!(parse("jwt,pub-key=a.pub,priv-key=a.key,sign-method=RS256,ttl=1m"), Ok(TokenKind::Jwt(options)));
        for wrong in [
            "",
            "other",
            "jwt",
            "jwt,sign-method=RS256",
            "jwt,priv-key=a",
            "jwt,priv-key=a,sign-method=none",
            "jwt,priv-key=a,priv-key=b,sign-method=RS256",
            "jwt,priv-key,sign-method=RS256",
            "jwt,priv-key=a,sign-method=RS256,ttl=soon",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
