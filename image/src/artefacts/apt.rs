//! A private apt root: the distribution's signed packages without touching the system.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Artefact;
use crate::command::{APT_CACHE, APT_CONFIG, APT_GET, CommandError, Run, Tool};

/// Lists and the largest package take seconds on a good line; this is for a bad one.
const DOWNLOAD: Duration = Duration::from_mins(30);
const ASK: Duration = Duration::from_mins(2);

/// Where the distribution's keys are, by the name each of its releases gave the file.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// Releases whose mirror also holds the suites of the lock file.
const RELEASES: [&str; 9] =
    ["bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"];

/// What of the system's settings is about the way to the network, or about this machine's wrong clock.
const NETWORK: [&str; 6] = [
    "Acquire::http",
    "Acquire::https::",
    "Acquire::ForceIPv",
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
    "Acquire::Max-FutureTime",
];

/// apt could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AptError {
    #[error(
        "this system's apt has no Debian mirror to take packages from: set ORLOP_APT_MIRROR to one \
         (the address above its `dists` folder)"
    )]
    NoMirror,
    #[error("the keys of the Debian archive are not installed (package debian-archive-keyring)")]
    NoKeyring,
    #[error("write the private apt root {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("apt did not leave a package in {0}")]
    NoPackage(PathBuf),
    #[error("the mirror has no `{name}` in {suite}")]
    Gone { name: String, suite: String },
    #[error("the mirror does not have this version any more: pin what it has with `image artefacts --update`")]
    Replaced,
}

/// The addresses of the main archive and of its security archive.
#[derive(Debug, PartialEq, Eq)]
struct Mirror {
    main: String,
    security: String,
}

impl Mirror {
    /// Reads lines of `SITE RELEASE`, as the system's apt lists its sources.
    fn of_system(targets: &str) -> Option<Self> {
        let mut main = None;
        let mut security = None;
        for line in targets.lines() {
            let Some((site, release)) = line.split_once(' ') else { continue };
            let (codename, part) = release.split_once(['-', '/']).unwrap_or((release, ""));
            if !RELEASES.contains(&codename) {
                continue;
            }
            let place = if part.starts_with("security") { &mut security } else { &mut main };
            place.get_or_insert_with(|| site.trim_end_matches('/').to_owned());
        }
        let main = main?;
        let security = security.unwrap_or_else(|| Self::beside(&main));
        Some(Self { main, security })
    }

    /// Mirrors keep the security archive beside the main one.
    fn beside(main: &str) -> String {
        format!("{main}-security")
    }

    fn sources(&self, suites: &[&str], keyring: &str) -> String {
        suites.iter().fold(String::new(), |mut text, suite| {
            let site = if suite.ends_with("-security") { &self.security } else { &self.main };
            let _ = writeln!(text, "deb [signed-by={keyring}] {site} {suite} main");
            text
        })
    }
}

/// The configuration of the private root. `system` is the system's own, of which only the way to the network is taken.
fn configuration(root: &Path, system: &str) -> String {
    let root = root.display();
    let mut text = format!(
        "Dir \"{root}\";\nDir::State::status \"{root}/var/lib/dpkg/status\";\n\
         Dir::Etc::Trusted \"/dev/null\";\nDir::Etc::TrustedParts \"/dev/null\";\n\
         Dir::Etc::Netrc \"/etc/apt/auth.conf\";\nDir::Etc::NetrcParts \"/etc/apt/auth.conf.d\";\n\
         APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\n\
         APT::Sandbox::User \"\";\nAPT::Update::Error-Mode \"any\";\n\
         Acquire::Languages \"none\";\nAcquire::Retries \"3\";\n"
    );
    for line in system.lines() {
        if NETWORK.iter().any(|prefix| line.starts_with(prefix)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// A prepared root with fresh package lists.
pub(crate) struct Root {
    folder: PathBuf,
}

impl Root {
    pub(crate) fn prepare(folder: &Path, suites: &[&str]) -> Result<Self, AptError> {
        let mirror = if let Some(site) = std::env::var("ORLOP_APT_MIRROR").ok().filter(|site| !site.is_empty()) {
            let main = site.trim_end_matches('/').to_owned();
            Mirror { security: Mirror::beside(&main), main }
        } else {
            let targets = APT_GET.within(ASK).args(["indextargets", "--format", "$(SITE) $(RELEASE)"]).output()?;
            Mirror::of_system(&String::from_utf8_lossy(&targets)).ok_or(AptError::NoMirror)?
        };
        let keyring = KEYRINGS.into_iter().find(|path| Path::new(path).exists()).ok_or(AptError::NoKeyring)?;
        let system = APT_CONFIG.within(ASK).args(["dump", "--no-empty", "Acquire"]).output()?;
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
            written.map_err(|source| AptError::Write { path, source })
        };
        for name in ["var/lib/apt/lists/partial/.here", "var/cache/apt/archives/partial/.here", "var/lib/dpkg/status"] {
            write(name, "")?;
        }
        for name in ["etc/apt/apt.conf.d/.here", "etc/apt/preferences.d/.here", "etc/apt/sources.list.d/.here"] {
            write(name, "")?;
        }
        write("etc/apt/sources.list", &mirror.sources(suites, keyring))?;
        write("apt.conf", &configuration(folder, &String::from_utf8_lossy(&system)))?;
        let root = Self { folder: folder.to_owned() };
        root.run(APT_GET, DOWNLOAD).args(["-q", "update"]).output()?;
        Ok(root)
    }

    /// Downloads exactly the pinned version. Its digest is still to be compared.
    pub(crate) fn download(&self, artefact: &Artefact) -> Result<PathBuf, AptError> {
        let folder = self.folder.join("packages").join(&artefact.suite).join(&artefact.name);
        fs::create_dir_all(&folder).map_err(|source| AptError::Write { path: folder.clone(), source })?;
        let which = format!("{}={}", qualified(artefact), artefact.version);
        let downloaded = self.run(APT_GET, DOWNLOAD).args(["-q", "download", &which]).folder(&folder).output();
        downloaded.map_err(|error| match error {
            CommandError::Failed { last_words, .. } if last_words.contains("was not found") => AptError::Replaced,
            other => AptError::Command(other),
        })?;
        let package = fs::read_dir(&folder).ok().and_then(|mut entries| entries.next()?.ok()).map(|entry| entry.path());
        package.ok_or(AptError::NoPackage(folder))
    }

    /// The newest version that the artefact's own suite offers.
    pub(crate) fn newest(&self, artefact: &Artefact) -> Result<Artefact, AptError> {
        let which = format!("{}/{}", qualified(artefact), artefact.suite);
        let shown = self.run(APT_CACHE, ASK).args(["show", "--no-all-versions", &which]).output()?;
        let shown = String::from_utf8_lossy(&shown);
        let field = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        match (field("Version:"), field("SHA256:").and_then(|text| text.parse().ok())) {
            (Some(version), Some(sha256)) => Ok(Artefact { version: version.to_owned(), sha256, ..artefact.clone() }),
            _ => Err(AptError::Gone { name: artefact.name.clone(), suite: artefact.suite.clone() }),
        }
    }

    fn run(&self, tool: Tool, limit: Duration) -> Run {
        tool.within(limit).env("APT_CONFIG", self.folder.join("apt.conf"))
    }
}

fn qualified(artefact: &Artefact) -> String {
    if artefact.arch == "all" { artefact.name.clone() } else { format!("{}:{}", artefact.name, artefact.arch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_systems() {
        let targets = "http://tools.test/apt node\nhttp://mirror.test/debian bookworm\nhttp://mirror.test/debian bookworm-updates\n\
                       http://safe.test/security/ bookworm-security\n";
        let mirror = Mirror::of_system(targets).unwrap();
        assert_eq!(mirror.main, "http://mirror.test/debian");
        assert_eq!(mirror.security, "http://safe.test/security");
        assert_eq!(
            mirror.sources(&["trixie", "trixie-security"], "/k"),
            "deb [signed-by=/k] http://mirror.test/debian trixie main\n\
             deb [signed-by=/k] http://safe.test/security trixie-security main\n"
        );
    }

    #[test]
    fn a_system_without_a_security_archive_gets_the_one_beside() {
        let mirror = Mirror::of_system("http://mirror.test/debian sid\n").unwrap();
        assert_eq!(mirror.security, "http://mirror.test/debian-security");
        assert_eq!(Mirror::of_system("http://mirror.test/ubuntu noble\n"), None);
    }

    #[test]
    fn only_the_way_to_the_network_is_taken_from_the_system() {
        let system = "Acquire::http::Proxy \"http://proxy.test:3128\";\nAPT::Update::Post-Invoke:: \"rm -f /x\";\n";
        let text = configuration(Path::new("/r"), system);
        assert!(text.contains("Proxy \"http://proxy.test:3128\";"));
        assert!(!text.contains("Post-Invoke"));
        assert!(text.contains("Dir \"/r\";"));
    }
}
