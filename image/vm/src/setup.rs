//! What a machine is made from: the built image, a disk, a configuration, the operator's request, free ports.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::arguments::{Accelerator, Arch, Machine, Medium, Ports};
use crate::folder::Folder;
use crate::operator;

/// Where Debian and Ubuntu keep the UEFI firmware for QEMU.
const FIRMWARE_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const FIRMWARE_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// Why a machine could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of the image was not built.
    #[error("{} is not there: build it with `./just image`", path.display())]
    NoImage {
        /// The part.
        path: PathBuf,
    },
    /// The UEFI firmware is not installed.
    #[error("{path} is not there: install the package `ovmf`")]
    NoFirmware {
        /// The firmware.
        path: &'static str,
    },
    /// A file could not be made.
    #[error("set up the machine in {folder}")]
    Folder {
        /// The machine's folder.
        folder: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The operator's request could not be made.
    #[error("make the operator's request")]
    Operator(#[from] operator::Error),
    /// No port is free.
    #[error("find a free port on the loopback")]
    Port(#[source] io::Error),
}

/// The files of a built image.
#[derive(Debug, Clone)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// The ISO.
    pub iso: PathBuf,
    /// The kernel arguments of every medium.
    pub arguments: String,
}

impl Image {
    /// The image that was built into `folder`.
    pub fn built(folder: &Path) -> Result<Self, Error> {
        let part = |name: &str| {
            let path = folder.join(name);
            // QEMU runs in another folder.
            fs::canonicalize(&path).map_err(|_| Error::NoImage { path })
        };
        let arguments = part("cmdline")?;
        let arguments = fs::read_to_string(&arguments).map_err(|_| Error::NoImage { path: arguments })?;
        Ok(Self {
            kernel: part("vmlinuz")?,
            initramfs: part("initramfs.zst")?,
            iso: part("orlop.iso")?,
            arguments: arguments.trim().to_owned(),
        })
    }
}

/// How the image is booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// QEMU loads the kernel: the quickest way.
    Direct,
    /// From the ISO, under SeaBIOS.
    IsoBios,
    /// From the ISO, under OVMF.
    IsoUefi,
}

/// The disks of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disks {
    /// The one disk in its folder, blank at first.
    Own,
    /// These images, or none.
    These(Vec<PathBuf>),
}

/// A machine to be set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The machine's name.
    pub name: String,
    /// Number of processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// What executes the guest.
    pub accelerator: Accelerator,
    /// How it is booted.
    pub boot: Boot,
    /// Kernel arguments beside the image's own; only [`Boot::Direct`] can have any.
    pub arguments: String,
    /// Its disks.
    pub disks: Disks,
    /// Whether it has a network card; with these ports if they are free, else with others.
    pub network: Network,
    /// What its clock shows when it is switched on, as `2028-01-01`; `None`: the host's time.
    pub date: Option<String>,
    /// Whether a reboot starts it again; otherwise it ends QEMU.
    pub reboots: bool,
}

/// The network card of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// None.
    Absent,
    /// With ports of the loopback that are free.
    Free,
    /// With these ports, if they are free: a kubeconfig stays right when the machine is started again.
    Preferred(Ports),
}

impl Setup {
    /// Makes what is missing in the folder and describes the machine. What is there is used as it is.
    pub fn prepare(&self, folder: &Folder, image: &Image) -> Result<Machine, Error> {
        let failed = |source| Error::Folder { folder: folder.path().display().to_string(), source };
        let disks = match &self.disks {
            Disks::Own => vec![folder.create_disk().map_err(failed)?],
            Disks::These(disks) => disks.clone(),
        };
        if !folder.config().exists() {
            durable::write(&folder.config(), default_config(&self.name).as_bytes(), 0o644).map_err(failed)?;
        }
        operator::ensure_request(folder)?;
        Ok(Machine {
            name: self.name.clone(),
            arch: Arch::X86_64,
            accelerator: self.accelerator,
            cpus: self.cpus,
            memory: self.memory,
            medium: self.medium(folder, image)?,
            disks,
            network: match self.network {
                Network::Absent => None,
                Network::Free => Some(free_ports(None).map_err(Error::Port)?),
                Network::Preferred(ports) => Some(free_ports(Some(ports)).map_err(Error::Port)?),
            },
            config: Some(folder.config()),
            operator_request: Some(folder.operator_request()),
            date: self.date.clone(),
            reboots: self.reboots,
        })
    }

    fn medium(&self, folder: &Folder, image: &Image) -> Result<Medium, Error> {
        match self.boot {
            Boot::Direct => Ok(Medium::Kernel {
                kernel: image.kernel.clone(),
                initramfs: image.initramfs.clone(),
                arguments: format!("{} {}", image.arguments, self.arguments).trim().to_owned(),
            }),
            Boot::IsoBios => Ok(Medium::IsoBios(image.iso.clone())),
            Boot::IsoUefi => {
                for path in [FIRMWARE_CODE, FIRMWARE_VARIABLES] {
                    if !Path::new(path).exists() {
                        return Err(Error::NoFirmware { path });
                    }
                }
                let variables = folder.firmware_variables();
                if !variables.exists() {
                    fs::copy(FIRMWARE_VARIABLES, &variables)
                        .map_err(|source| Error::Folder { folder: folder.path().display().to_string(), source })?;
                }
                Ok(Medium::IsoUefi { iso: image.iso.clone(), code: FIRMWARE_CODE.into(), variables })
            }
        }
    }
}

/// The configuration of a machine that nobody has configured yet.
fn default_config(name: &str) -> String {
    format!(
        "# The machine's configuration. It is read when the machine starts; change it, then `./just down` and `./just up`.
apiVersion: orlop.dev/v1alpha1
kind: MachineConfig
machine:
  hostname: {name}
cluster:
  name: {name}
  extraSANs:
  - localhost
  - 127.0.0.1
"
    )
}

/// Two ports that are free now: the preferred ones where possible. Somebody may take one before QEMU does; QEMU then
/// says so and does not start.
fn free_ports(preferred: Option<Ports>) -> io::Result<Ports> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port));
    // Both are held until both are known, so that they differ.
    let machine = preferred.map_or_else(|| free(0), |ports| free(ports.machine).or_else(|_| free(0)))?;
    let kubernetes = preferred.map_or_else(|| free(0), |ports| free(ports.kubernetes).or_else(|_| free(0)))?;
    Ok(Ports { machine: machine.local_addr()?.port(), kubernetes: kubernetes.local_addr()?.port() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            kernel: "k".into(),
            initramfs: "i".into(),
            iso: "o.iso".into(),
            arguments: "console=ttyS0 quiet".into(),
        }
    }

    fn setup() -> Setup {
        Setup {
            name: "demo".into(),
            cpus: 1,
            memory: 512,
            accelerator: Accelerator::Tcg,
            boot: Boot::Direct,
            arguments: "orlop.test=1".into(),
            disks: Disks::Own,
            network: Network::Free,
            date: None,
            reboots: false,
        }
    }

    #[test]
    fn a_setup_makes_what_is_missing_and_keeps_what_is_there() {
        let path = std::env::temp_dir().join(format!("setup-{}", std::process::id()));
        let folder = Folder::create(&path).unwrap();
        let first = setup().prepare(&folder, &image()).unwrap();
        assert_eq!(
            first.medium,
            Medium::Kernel {
                kernel: "k".into(),
                initramfs: "i".into(),
                arguments: "console=ttyS0 quiet orlop.test=1".into()
            }
        );
        assert_eq!(first.disks, [folder.disk()]);
        fs::write(folder.config(), "mine").unwrap();
        let request = fs::read(folder.operator_request()).unwrap();
        let again = Setup { network: Network::Preferred(first.network.unwrap()), ..setup() };
        assert_eq!(again.prepare(&folder, &image()).unwrap().network, first.network);
        assert_eq!(fs::read(folder.config()).unwrap(), b"mine");
        assert_eq!(fs::read(folder.operator_request()).unwrap(), request);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_taken_port_is_not_used() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let ports = free_ports(Some(Ports { machine: port, kubernetes: port })).unwrap();
        assert!(ports.machine != port && ports.kubernetes != port && ports.machine != ports.kubernetes);
    }

    #[test]
    fn a_missing_image_says_how_to_build_it() {
        let error = Image::built(Path::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("./just image"), "{error}");
    }

    #[test]
    fn the_default_configuration_is_accepted() {
        machine::MachineConfig::parse(&default_config("orlop")).unwrap();
    }
}
