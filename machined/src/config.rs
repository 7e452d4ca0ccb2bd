//! Where configurations come from: the state partition, and the firmware of a virtual machine.

use std::fs;
use std::io;
use std::io::Read;
use std::path::Path;

use machined_core::source::{self, Stored};

/// Where QEMU's firmware shows its files.
const FIRMWARE: &str = "/sys/firmware/qemu_fw_cfg/by_name";

/// Why a configuration could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("write configuration generation {generation}")]
pub(crate) struct KeepError {
    generation: u64,
    #[source]
    source: io::Error,
}

/// A file that was given to a virtual machine, `None` if there is none. Larger than `limit` bytes it is cut.
pub(crate) fn from_firmware(name: &str, limit: usize) -> io::Result<Option<String>> {
    let path = Path::new(FIRMWARE).join(name).join("raw");
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The newest kept generation; `None` if there is none yet.
pub(crate) fn stored(folder: &Path) -> Option<Stored> {
    let names = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(error),
    };
    let names = match names {
        Ok(names) => names,
        Err(error) => return Some(Stored { generation: 0, text: Err(error.to_string()) }),
    };
    let generation = source::newest(names.iter().filter_map(|name| name.to_str()))?;
    let text = fs::read_to_string(folder.join(format!("{generation}.yaml"))).map_err(|error| error.to_string());
    Some(Stored { generation, text })
}

/// Keeps a configuration. When this returns `Ok` it is on disk.
pub(crate) fn keep(folder: &Path, generation: u64, text: &str) -> Result<(), KeepError> {
    fs::create_dir_all(folder)
        .and_then(|()| durable::write(&folder.join(format!("{generation}.yaml")), text.as_bytes(), 0o600))
        .map_err(|source| KeepError { generation, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let configs = folder.path().join("config");
        assert_eq!(stored(&configs), None);
        keep(&configs, 1, "one").unwrap();
        keep(&configs, 2, "two").unwrap();
        assert_eq!(stored(&configs), Some(Stored { generation: 2, text: Ok("two".into()) }));
        fs::write(configs.join("3.yaml"), [0xff, 0xfe]).unwrap();
        assert!(stored(&configs).unwrap().text.is_err(), "what cannot be read is not passed over");
    }
}
