//! Which bucket, where, and who asks. Holds no secret.

use std::path::PathBuf;

use rusty_s3::UrlStyle;
use url::Url;

/// A bucket, or the part of one that begins with a prefix.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name.
    pub bucket: String,
    /// What the names of all objects begin with: nothing, or something that ends with a slash.
    pub prefix: String,
    /// Where the store is.
    pub endpoint: Url,
    /// Its region, which is part of every signature.
    pub region: String,
    /// Whether the bucket is named in the path or in the host.
    pub style: UrlStyle,
    /// A file with credentials, instead of where they are looked for otherwise.
    pub credentials: Option<PathBuf>,
    /// The authorities that the store's certificate leads to, instead of the system's.
    pub authorities: Option<PathBuf>,
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        let parts = |one: &Self| {
            let path = matches!(one.style, UrlStyle::Path);
            (one.bucket.clone(), one.prefix.clone(), one.endpoint.clone(), one.region.clone(), path)
        };
        parts(self) == parts(other) && self.credentials == other.credentials && self.authorities == other.authorities
    }
}

impl Eq for Settings {}
