//! Credentials, from where operators of Amazon's tools keep them.
//!
//! In this order: the file that was named on the command line, `AWS_ACCESS_KEY_ID` with `AWS_SECRET_ACCESS_KEY` and perhaps
//! `AWS_SESSION_TOKEN`, the file in `AWS_SHARED_CREDENTIALS_FILE`, `~/.aws/credentials`. In files, the section is the one in
//! `AWS_PROFILE`, or `default`.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use rusty_s3::Credentials;

/// Looks credentials up.
pub fn find(named: Option<&Path>) -> io::Result<Credentials> {
    if named.is_none()
        && let Some(credentials) = from_environment()
    {
        return Ok(credentials);
    }
    let path = named.map(Path::to_path_buf).or_else(default_file);
    let path =
        path.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there are no credentials for the object store"))?;
    let explain = |error: io::Error| io::Error::other(format!("read the credentials in {}: {error}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(explain)?;
    let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    read(&text, &profile)
        .ok_or_else(|| io::Error::other(format!("{} has no key and secret in its section [{profile}]", path.display())))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn from_environment() -> Option<Credentials> {
    let (key, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
    Some(make(key, secret, variable("AWS_SESSION_TOKEN")))
}

fn default_file() -> Option<PathBuf> {
    let home = || env::home_dir().map(|home| home.join(".aws/credentials")).filter(|path| path.exists());
    variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from).or_else(home)
}

fn make(key: String, secret: String, token: Option<String>) -> Credentials {
    match token {
        Some(token) => Credentials::new_with_token(key, secret, token),
        None => Credentials::new(key, secret),
    }
}

/// Reads a section of a file of the form `[section]`, `name = value`.
fn read(text: &str, profile: &str) -> Option<Credentials> {
    let (mut key, mut secret, mut token) = (None, None, None);
    let mut within = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            within = section.trim() == profile;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| within) {
            let value = Some(value.trim().to_owned());
            match name.trim() {
                "aws_access_key_id" => key = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(make(key?, secret?, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_counts() {
        let text = "[other]\naws_access_key_id=o\naws_secret_access_key=p\n# [default]\n\n[default]\n\
                    aws_access_key_id = a\naws_secret_access_key = b=c\naws_session_token = t\nregion = x\n";
        let found = read(text, "default").unwrap();
        assert_eq!((found.key(), found.secret(), found.token()), ("a", "b=c", Some("t")));
        let found = read(text, "other").unwrap();
        assert_eq!((found.key(), found.secret(), found.token()), ("o", "p", None));
        assert!(read(text, "third").is_none());
        assert!(read("[default]\naws_access_key_id = a\n", "default").is_none());
    }

    #[test]
    fn a_file_that_is_named_counts_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        assert!(find(Some(&path)).is_err());
        std::fs::write(&path, "[default]\naws_access_key_id = a\naws_secret_access_key = b\n").unwrap();
        assert_eq!(find(Some(&path)).unwrap().key(), "a");
    }
}
