//! The kernel arguments that machined reads: `orlop.<key>=<value>`.

/// What PID 1 reads itself; not ours, but not unknown either.
const OF_OTHERS: [&str; 1] = ["log"];

/// What the kernel's command line says to machined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelArguments {
    /// `orlop.disk`: name of the disk that may be formatted, without `/dev/`.
    pub disk: Option<String>,
    /// `orlop.claim=again`: a machine that is claimed may be claimed once more in this boot.
    pub claim_again: bool,
    /// One sentence for each argument that has no effect.
    pub problems: Vec<String>,
}

impl KernelArguments {
    /// Reads the content of `/proc/cmdline`. The last of several arguments with one key wins, as in the kernel.
    #[must_use]
    pub fn parse(command_line: &str) -> Self {
        let mut found = Self::default();
        for argument in command_line.split_ascii_whitespace() {
            let Some(argument) = argument.strip_prefix("orlop.") else { continue };
            let (key, value) = argument.split_once('=').unwrap_or((argument, ""));
            if OF_OTHERS.contains(&key) {
                continue;
            }
            // What stands on a command line is foreign; it is shown on a console.
            let shown: String = key.chars().take(64).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
            match key {
                "disk" => {
                    let name = value.strip_prefix("/dev/").unwrap_or(value);
                    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                        found.problems.push("kernel argument orlop.disk names no disk and is ignored".to_owned());
                    } else {
                        found.disk = Some(name.to_owned());
                    }
                }
                "claim" if value == "again" => found.claim_again = true,
                "claim" => found.problems.push("kernel argument orlop.claim is not `again` and is ignored".to_owned()),
                _ => found.problems.push(format!("kernel argument orlop.{shown} is unknown and ignored")),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_read_and_what_is_unknown_is_named() {
        let found =
            KernelArguments::parse("console=ttyS0 orlop.log=debug orlop.disk=/dev/vdb orlop.dsk=x orlop.\u{1b}\n");
        assert_eq!(found.disk.as_deref(), Some("vdb"));
        assert_eq!(
            found.problems,
            ["kernel argument orlop.dsk is unknown and ignored", "kernel argument orlop.? is unknown and ignored"]
        );
        assert!(!found.claim_again && KernelArguments::parse("orlop.claim=again quiet").claim_again);
        assert_eq!(KernelArguments::parse("orlop.claim=yes").problems.len(), 1);
        assert_eq!(KernelArguments::parse("orlop.disk=../sda").disk, None);
        assert_eq!(KernelArguments::parse("orlop.disk").problems.len(), 1);
    }
}
