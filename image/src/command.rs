//! Tools of the distribution, run with a small fixed environment and a deadline.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// What of the caller's environment a tool may see: where programs and the user's caches are, and how to reach the network.
const KEPT: [&str; 9] =
    ["PATH", "HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// How much of a failed tool's last words is shown.
const LAST_LINES: usize = 30;

/// A program that the build calls, and the distribution's package that holds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

pub(crate) const APT_GET: Tool = Tool { program: "apt-get", package: "apt" };
pub(crate) const APT_CACHE: Tool = Tool { program: "apt-cache", package: "apt" };
pub(crate) const APT_CONFIG: Tool = Tool { program: "apt-config", package: "apt" };
pub(crate) const DPKG_DEB: Tool = Tool { program: "dpkg-deb", package: "dpkg" };
pub(crate) const GCC: Tool = Tool { program: "gcc", package: "gcc" };
pub(crate) const LD: Tool = Tool { program: "ld", package: "binutils" };
pub(crate) const MAKE: Tool = Tool { program: "make", package: "make" };
pub(crate) const MKSQUASHFS: Tool = Tool { program: "mksquashfs", package: "squashfs-tools" };
pub(crate) const STRIP: Tool = Tool { program: "strip", package: "binutils" };
pub(crate) const TAR: Tool = Tool { program: "tar", package: "tar" };
pub(crate) const XORRISO: Tool = Tool { program: "xorriso", package: "xorriso" };

/// A tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("{program} is not installed (package {package})")]
    Missing { program: &'static str, package: &'static str },
    #[error("{program} could not be started")]
    Start { program: &'static str, source: io::Error },
    #[error("{program} took longer than {} s and was stopped", limit.as_secs())]
    TooLong { program: &'static str, limit: Duration },
    #[error("{program} failed ({status}):\n{last_words}")]
    Failed { program: &'static str, status: ExitStatus, last_words: String },
}

/// One run of a tool, being described.
pub(crate) struct Run {
    tool: Tool,
    limit: Duration,
    command: Command,
}

impl Tool {
    /// Describes a run that is stopped after `limit`.
    pub(crate) fn within(self, limit: Duration) -> Run {
        // In the foreground, so that the terminal's interrupt reaches the tool as well.
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--kill-after=10", &limit.as_secs().to_string(), self.program]);
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null());
        for name in KEPT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        Run { tool: self, limit, command }
    }
}

impl Run {
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it to its end. Returns what it wrote on standard output; a failure carries the last lines of both outputs.
    pub(crate) fn output(mut self) -> Result<Vec<u8>, CommandError> {
        let program = self.tool.program;
        let output = self.command.output().map_err(|source| CommandError::Start { program, source })?;
        self.judge(output.status, || {
            let mut words = output.stdout.clone();
            words.extend_from_slice(&output.stderr);
            words
        })?;
        Ok(output.stdout)
    }

    /// Runs it to its end with both outputs in the file `log`, of which a failure shows the end.
    pub(crate) fn logged(mut self, log: &Path) -> Result<(), CommandError> {
        let program = self.tool.program;
        let started = std::fs::File::create(log).and_then(|file| {
            self.command.stdout(file.try_clone()?).stderr(file);
            self.command.status()
        });
        let status = started.map_err(|source| CommandError::Start { program, source })?;
        self.judge(status, || std::fs::read(log).unwrap_or_default())
    }

    fn judge(&self, status: ExitStatus, words: impl FnOnce() -> Vec<u8>) -> Result<(), CommandError> {
        let Tool { program, package } = self.tool;
        match status.code() {
            Some(0) => Ok(()),
            // The three codes are those of timeout(1).
            Some(124) => Err(CommandError::TooLong { program, limit: self.limit }),
            Some(127) => Err(CommandError::Missing { program, package }),
            Some(_) | None => Err(CommandError::Failed {
                program,
                status,
                last_words: last_lines(&String::from_utf8_lossy(&words())),
            }),
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SH: Tool = Tool { program: "sh", package: "dash" };
    const SHORT: Duration = Duration::from_secs(20);

    #[test]
    fn a_failure_carries_the_last_words() {
        let error = SH.within(SHORT).args(["-c", "echo out; echo err >&2; exit 3"]).output().unwrap_err();
        assert_eq!(error.to_string(), "sh failed (exit status: 3):\nout\nerr");
    }

    #[test]
    fn a_missing_tool_names_its_package() {
        let tool = Tool { program: "no-such-program-here", package: "some-package" };
        let error = tool.within(SHORT).output().unwrap_err();
        assert_eq!(error.to_string(), "no-such-program-here is not installed (package some-package)");
    }

    #[test]
    fn a_deadline_ends_a_tool_that_hangs() {
        let error = SH.within(Duration::from_secs(1)).args(["-c", "exec sleep 60"]).output().unwrap_err();
        assert!(matches!(error, CommandError::TooLong { .. }), "{error}");
    }

    #[test]
    fn the_environment_is_ours() {
        let output =
            SH.within(SHORT).env("EXTRA", "yes").args(["-c", "echo $TZ $LC_ALL $EXTRA $CARGO"]).output().unwrap();
        assert_eq!(output, b"UTC C yes\n");
    }
}
