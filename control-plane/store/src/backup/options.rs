//! Flags about backups: of a member, and of the commands that read one.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusty_s3::UrlStyle;
use url::Url;

use super::target::folder::Folder;
use super::target::s3::S3;
use super::target::s3::settings::Settings;
use super::target::{Network, Target, TargetError};

/// Where a backup lies.
#[derive(Debug, Clone, clap::Args)]
pub struct TargetFlags {
    /// Where the backup lies: `file:///folder` or `s3://bucket/prefix`.
    #[arg(long, env = "ORLOP_BACKUP_URL")]
    pub backup_url: Option<String>,
    /// The URL of the S3 server, if it is not Amazon's.
    #[arg(long, env = "ORLOP_BACKUP_S3_ENDPOINT")]
    pub backup_s3_endpoint: Option<String>,
    /// Its region; also from `AWS_REGION`.
    #[arg(long, env = "ORLOP_BACKUP_S3_REGION")]
    pub backup_s3_region: Option<String>,
    /// Where the bucket's name stands in URLs: `path` or `host`. Not set: in the host at Amazon's, else in the path.
    #[arg(long, env = "ORLOP_BACKUP_S3_URL_STYLE")]
    pub backup_s3_url_style: Option<String>,
    /// A file with `aws_access_key_id` and `aws_secret_access_key`. Not set: they are looked for where Amazon's tools do.
    #[arg(long, env = "ORLOP_BACKUP_S3_CREDENTIALS_FILE")]
    pub backup_s3_credentials_file: Option<PathBuf>,
    /// The authorities of the S3 server's certificate; the system's when not set.
    #[arg(long, env = "ORLOP_BACKUP_CA_FILE")]
    pub backup_ca_file: Option<PathBuf>,
}

/// What a member does about its backup.
#[derive(Debug, Clone, clap::Args)]
pub struct BackupFlags {
    /// Where to.
    #[command(flatten)]
    pub target: TargetFlags,
    /// After how much time what happened is backed up, as Go writes durations.
    #[arg(long, env = "ORLOP_BACKUP_INTERVAL", default_value = "10s")]
    pub backup_interval: String,
    /// From one snapshot of a backup to the next: a restore replays at most so much.
    #[arg(long, env = "ORLOP_BACKUP_SNAPSHOT_INTERVAL", default_value = "6h")]
    pub backup_snapshot_interval: String,
    /// How far back a restore can go; what is older is removed. 0: nothing is removed.
    #[arg(long, env = "ORLOP_BACKUP_RETENTION", default_value = "168h")]
    pub backup_retention: String,
}

/// A place for backups, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    Bucket(Settings),
}

/// A member's backup, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where to.
    pub place: Place,
    /// Between segments.
    pub every: Duration,
    /// Between snapshots.
    pub snapshot_every: Duration,
    /// How much is kept; `None`: all.
    pub retention: Option<Duration>,
}

impl Place {
    /// Gets ready to read and write there.
    pub fn open(&self, network: Network) -> Result<Arc<dyn Target>, TargetError> {
        Ok(match self {
            Self::Folder(path) => Arc::new(Folder::new(path)),
            Self::Bucket(settings) => {
                let what = format!("get ready for s3://{}", settings.bucket);
                Arc::new(S3::open(settings.clone(), network).map_err(|source| TargetError::new(what, source))?)
            }
        })
    }
}

impl TargetFlags {
    /// The place, if one is named; else which flag is wrong, and why.
    pub fn check(&self) -> Result<Option<Place>, (&'static str, String)> {
        let Some(text) = &self.backup_url else { return Ok(None) };
        let wrong = |problem: &str| ("backup-url", format!("`{text}`: {problem}"));
        let url = Url::parse(text).map_err(|_| wrong("it is to be file:///folder or s3://bucket/prefix"))?;
        match url.scheme() {
            "file" => {
                let path = url.to_file_path().map_err(|()| wrong("it names no folder of this machine"))?;
                Ok(Some(Place::Folder(path)))
            }
            "s3" => {
                let bucket =
                    url.host_str().filter(|name| !name.is_empty()).ok_or_else(|| wrong("it names no bucket"))?;
                let prefix = url.path().trim_matches('/');
                let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
                Ok(Some(Place::Bucket(self.bucket(bucket.to_owned(), prefix)?)))
            }
            _ => Err(wrong("only file:// and s3:// are known")),
        }
    }

    fn bucket(&self, bucket: String, prefix: String) -> Result<Settings, (&'static str, String)> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let region = self.backup_s3_region.clone();
        let region = region.or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let named = self.backup_s3_endpoint.clone();
        let named = named.or_else(|| variable("AWS_ENDPOINT_URL_S3")).or_else(|| variable("AWS_ENDPOINT_URL"));
        let style = match self.backup_s3_url_style.as_deref() {
            Some("path") => UrlStyle::Path,
            Some("host") => UrlStyle::VirtualHost,
            Some(other) => return Err(("backup-s3-url-style", format!("`{other}`: it is either `path` or `host`"))),
            None if named.is_some() => UrlStyle::Path,
            None => UrlStyle::VirtualHost,
        };
        let endpoint = named.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let parsed = Url::parse(&endpoint).ok();
        let parsed = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let endpoint = parsed
            .ok_or_else(|| ("backup-s3-endpoint", format!("`{endpoint}`: it is to be an http:// or https:// URL")))?;
        Ok(Settings {
            bucket,
            prefix,
            endpoint,
            region,
            style,
            credentials: self.backup_s3_credentials_file.clone(),
            authorities: self.backup_ca_file.clone(),
        })
    }
}

impl BackupFlags {
    /// The plan, if there is to be a backup; every mistake goes to `wrong`. `duration` reads a duration.
    pub fn check(
        &self,
        duration: fn(&str) -> Result<Duration, String>,
        wrong: &mut impl FnMut(&'static str, String),
    ) -> Option<Plan> {
        let mut time = |flag, text: &str, least: Duration| match duration(text) {
            Ok(time) if time >= least => time,
            Ok(_) => {
                wrong(flag, format!("must be at least {least:?}"));
                least
            }
            Err(problem) => {
                wrong(flag, problem);
                least
            }
        };
        let every = time("backup-interval", &self.backup_interval, Duration::from_millis(100));
        let snapshot_every = time("backup-snapshot-interval", &self.backup_snapshot_interval, Duration::from_secs(1));
        let retention = time("backup-retention", &self.backup_retention, Duration::ZERO);
        let retention = (!retention.is_zero()).then_some(retention);
        let place = self.target.check().unwrap_or_else(|(flag, problem)| {
            wrong(flag, problem);
            None
        });
        place.map(|place| Plan { place, every, snapshot_every, retention })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(url: &str) -> TargetFlags {
        TargetFlags {
            backup_url: Some(url.to_owned()),
            backup_s3_endpoint: Some("http://127.0.0.1:9000".to_owned()),
            backup_s3_region: Some("here".to_owned()),
            backup_s3_url_style: None,
            backup_s3_credentials_file: None,
            backup_ca_file: None,
        }
    }

    #[test]
    fn places_are_named_by_urls() {
        assert_eq!(flags("file:///a/b").check(), Ok(Some(Place::Folder("/a/b".into()))));
        let Ok(Some(Place::Bucket(settings))) = flags("s3://bucket/some/where/").check() else { panic!("no bucket") };
        assert_eq!((settings.bucket.as_str(), settings.prefix.as_str()), ("bucket", "some/where/"));
        assert_eq!((settings.region.as_str(), settings.endpoint.as_str()), ("here", "http://127.0.0.1:9000/"));
        assert!(matches!(settings.style, UrlStyle::Path));
        let Ok(Some(Place::Bucket(whole))) = flags("s3://bucket").check() else { panic!("no bucket") };
        assert_eq!(whole.prefix, "");
        for wrong in ["", "/a/b", "ftp://x", "file://elsewhere/x", "s3:///x"] {
            assert_eq!(flags(wrong).check().unwrap_err().0, "backup-url", "{wrong}");
        }
        let odd = TargetFlags { backup_s3_url_style: Some("odd".to_owned()), ..flags("s3://b") };
        assert_eq!(odd.check().unwrap_err().0, "backup-s3-url-style");
        let odd = TargetFlags { backup_s3_endpoint: Some("here".to_owned()), ..flags("s3://b") };
        assert_eq!(odd.check().unwrap_err().0, "backup-s3-endpoint");
    }
}
