//! The command line of QEMU for one machine. No I/O: the same description gives the same arguments.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The processor architecture of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit PC.
    X86_64,
}

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The host's processor.
    Kvm,
    /// An emulated processor: slow, works everywhere.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "an emulated processor (no working KVM)",
        })
    }
}

/// What the machine boots from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Medium {
    /// QEMU loads the kernel and the initramfs itself.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// The initramfs.
        initramfs: PathBuf,
        /// Kernel arguments.
        arguments: String,
    },
    /// An ISO in a CD drive, under SeaBIOS.
    IsoBios(PathBuf),
    /// An ISO in a CD drive, under OVMF.
    IsoUefi {
        /// The ISO.
        iso: PathBuf,
        /// The firmware's code, never written.
        code: PathBuf,
        /// A copy of the firmware's variables that this machine may write.
        variables: PathBuf,
    },
}

/// Ports on the host's loopback that lead into the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// To the machine API.
    pub machine: u16,
    /// To kube-apiserver.
    pub kubernetes: u16,
}

/// The machine API's port in the machine.
const GUEST_MACHINE_PORT: u16 = 50_000;
/// kube-apiserver's port in the machine.
const GUEST_KUBERNETES_PORT: u16 = 6_443;

/// The name of the virtio-serial port through which the machine hands out the operator's certificate.
pub const OPERATOR_PORT: &str = "dev.orlop.operator";

/// Names of the files QEMU makes in its working folder. Relative, because a socket's path may not be longer than 107 bytes.
pub mod files {
    /// The serial console, from the first byte.
    pub const CONSOLE_LOG: &str = "console.log";
    /// The serial console, both ways.
    pub const CONSOLE_SOCKET: &str = "console.sock";
    /// The control socket of QEMU.
    pub const CONTROL_SOCKET: &str = "qmp.sock";
    /// What the machine wrote to [`OPERATOR_PORT`](super::OPERATOR_PORT).
    pub const OPERATOR_BUNDLE: &str = "operator-bundle.pem";
}

/// A machine to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Shown in the process list.
    pub name: String,
    /// The processor architecture.
    pub arch: Arch,
    /// What executes the guest.
    pub accelerator: Accelerator,
    /// Number of processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// What it boots from.
    pub medium: Medium,
    /// Raw disk images, in the order the machine sees them.
    pub disks: Vec<PathBuf>,
    /// The network card with its forwarded ports; `None` builds a machine without one.
    pub network: Option<Ports>,
    /// The machine's configuration.
    pub config: Option<PathBuf>,
    /// The operator's certificate request.
    pub operator_request: Option<PathBuf>,
    /// What the machine's clock shows when it is switched on, as `2028-01-01`; `None`: the host's time.
    pub date: Option<String>,
    /// Whether a reboot starts the machine again; otherwise it ends QEMU.
    pub reboots: bool,
}

impl Machine {
    /// The program to run.
    pub fn program(&self) -> &'static str {
        match self.arch {
            Arch::X86_64 => "qemu-system-x86_64",
        }
    }

    /// The arguments, for a QEMU whose working folder is the machine's own.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut line = Line(Vec::new());
        line.add("-name", [format!("orlop-{}", self.name)]);
        line.flag("-nodefaults").flag("-no-user-config");
        line.add("-display", ["none"]);
        let (accelerator, processor) = match self.accelerator {
            Accelerator::Kvm => ("kvm", "host"),
            Accelerator::Tcg => ("tcg", "max"),
        };
        line.add("-machine", ["q35".to_owned(), format!("accel={accelerator}")]);
        line.add("-cpu", [processor]);
        line.add("-smp", [self.cpus.to_string()]);
        line.add("-m", [self.memory.to_string()]);
        line.add("-rtc", [format!("base={}", self.date.as_deref().unwrap_or("utc"))]);
        line.add("-device", ["virtio-rng-pci"]);
        if !self.reboots {
            line.flag("-no-reboot");
        }
        self.chardevs(&mut line);
        self.media(&mut line);
        for (index, disk) in self.disks.iter().enumerate() {
            line.drive(&format!("disk{index}"), disk, &["format=raw", "discard=unmap"]);
            line.add("-device", [format!("virtio-blk-pci,drive=disk{index},serial=orlop-{index}")]);
        }
        if let Some(ports) = self.network {
            line.add(
                "-netdev",
                [
                    "user".to_owned(),
                    "id=net0".to_owned(),
                    format!("hostfwd=tcp:127.0.0.1:{}-:{GUEST_MACHINE_PORT}", ports.machine),
                    format!("hostfwd=tcp:127.0.0.1:{}-:{GUEST_KUBERNETES_PORT}", ports.kubernetes),
                ],
            );
            // No option ROM: the firmware must not try to boot from the network.
            line.add("-device", ["virtio-net-pci", "netdev=net0", "romfile="]);
        }
        for (name, file) in
            [("opt/dev.orlop/config", &self.config), ("opt/dev.orlop/operator.csr", &self.operator_request)]
        {
            if let Some(file) = file {
                line.with_path("-fw_cfg", &format!("name={name},file="), file, "");
            }
        }
        line.0
    }

    fn chardevs(&self, line: &mut Line) {
        line.add(
            "-chardev",
            [
                "socket".to_owned(),
                "id=serial".to_owned(),
                format!("path={}", files::CONSOLE_SOCKET),
                "server=on".to_owned(),
                "wait=off".to_owned(),
                format!("logfile={}", files::CONSOLE_LOG),
            ],
        );
        line.add("-serial", ["chardev:serial"]);
        line.add("-qmp", [format!("unix:{},server=on,wait=off", files::CONTROL_SOCKET)]);
        if self.operator_request.is_some() {
            line.add("-device", ["virtio-serial-pci"]);
            line.add("-chardev", [format!("file,id=operator,path={}", files::OPERATOR_BUNDLE)]);
            line.add(
                "-device",
                ["virtserialport".to_owned(), "chardev=operator".to_owned(), format!("name={OPERATOR_PORT}")],
            );
        }
    }

    fn media(&self, line: &mut Line) {
        let iso = match &self.medium {
            Medium::Kernel { kernel, initramfs, arguments } => {
                line.path("-kernel", kernel).path("-initrd", initramfs);
                line.add("-append", [arguments.clone()]);
                return;
            }
            Medium::IsoBios(iso) => iso,
            Medium::IsoUefi { iso, code, variables } => {
                for (unit, options, file) in [(0, ",readonly=on", code), (1, "", variables)] {
                    line.with_path("-drive", &format!("if=pflash,format=raw,unit={unit}{options},file="), file, "");
                }
                iso
            }
        };
        // The boot loaders of both firmwares want a screen to paint on.
        line.add("-device", ["VGA"]);
        line.drive("cd0", iso, &["format=raw", "media=cdrom", "readonly=on"]);
        line.add("-device", ["ide-cd,bus=ide.0,drive=cd0,bootindex=0"]);
    }
}

/// Arguments under construction.
struct Line(Vec<OsString>);

impl Line {
    fn flag(&mut self, name: &str) -> &mut Self {
        self.0.push(name.into());
        self
    }

    fn path(&mut self, name: &str, path: &Path) -> &mut Self {
        self.0.push(name.into());
        self.0.push(path.into());
        self
    }

    fn add<T: Into<String>, const N: usize>(&mut self, name: &str, parts: [T; N]) -> &mut Self {
        self.0.push(name.into());
        self.0.push(parts.map(Into::into).join(",").into());
        self
    }

    fn drive(&mut self, id: &str, file: &Path, options: &[&str]) -> &mut Self {
        self.with_path("-drive", &format!("if=none,id={id},{},file=", options.join(",")), file, "")
    }

    /// An option that holds a path: QEMU parts options at commas, so those of the path are doubled.
    fn with_path(&mut self, name: &str, before: &str, path: &Path, after: &str) -> &mut Self {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let mut value = before.as_bytes().to_vec();
        for &byte in path.as_os_str().as_bytes() {
            value.push(byte);
            if byte == b',' {
                value.push(b',');
            }
        }
        value.extend_from_slice(after.as_bytes());
        self.0.push(name.into());
        self.0.push(OsString::from_vec(value));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(medium: Medium) -> Machine {
        Machine {
            name: "one".into(),
            arch: Arch::X86_64,
            accelerator: Accelerator::Tcg,
            cpus: 2,
            memory: 1024,
            medium,
            disks: vec!["state.raw".into()],
            network: Some(Ports { machine: 4001, kubernetes: 4002 }),
            config: Some("config.yaml".into()),
            operator_request: Some("operator.csr".into()),
            date: None,
            reboots: true,
        }
    }

    fn direct() -> Medium {
        Medium::Kernel { kernel: "k".into(), initramfs: "i".into(), arguments: "console=ttyS0 orlop.x=1".into() }
    }

    fn values(machine: &Machine, name: &str) -> Vec<String> {
        let arguments = machine.arguments();
        arguments.windows(2).filter(|pair| pair[0] == *name).map(|pair| pair[1].to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn ports_are_open_on_the_loopback_only() {
        let netdev = values(&machine(direct()), "-netdev");
        assert_eq!(netdev, ["user,id=net0,hostfwd=tcp:127.0.0.1:4001-:50000,hostfwd=tcp:127.0.0.1:4002-:6443"]);
    }

    #[test]
    fn kernel_arguments_stay_one_argument() {
        assert_eq!(values(&machine(direct()), "-append"), ["console=ttyS0 orlop.x=1"]);
        assert!(values(&machine(direct()), "-drive").iter().all(|drive| !drive.contains("media=cdrom")));
    }

    #[test]
    fn commas_in_paths_do_not_add_options() {
        let mut machine = machine(direct());
        machine.disks = vec!["/a,snapshot=on/b".into()];
        assert_eq!(values(&machine, "-drive"), ["if=none,id=disk0,format=raw,discard=unmap,file=/a,,snapshot=on/b"]);
    }

    #[test]
    fn a_machine_without_network_and_operator_has_no_such_device() {
        let mut machine = machine(direct());
        machine.network = None;
        machine.operator_request = None;
        machine.config = None;
        let all = machine.arguments();
        for absent in ["-netdev", "-fw_cfg"] {
            assert!(!all.iter().any(|argument| argument == absent), "{absent} in {all:?}");
        }
        assert!(!all.iter().any(|argument| argument.to_str().unwrap().contains(OPERATOR_PORT)));
    }

    #[test]
    fn firmware_code_is_never_written() {
        let medium = Medium::IsoUefi { iso: "o.iso".into(), code: "code.fd".into(), variables: "vars.fd".into() };
        let drives = values(&machine(medium), "-drive");
        assert_eq!(drives[0], "if=pflash,format=raw,unit=0,readonly=on,file=code.fd");
        assert_eq!(drives[1], "if=pflash,format=raw,unit=1,file=vars.fd");
        assert!(drives[2].contains("media=cdrom,readonly=on"));
    }

    #[test]
    fn kvm_takes_the_hosts_processor() {
        let mut machine = machine(Medium::IsoBios("o.iso".into()));
        machine.accelerator = Accelerator::Kvm;
        assert_eq!(values(&machine, "-cpu"), ["host"]);
        assert_eq!(values(&machine, "-machine"), ["q35,accel=kvm"]);
    }
}
