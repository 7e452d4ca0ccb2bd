//! What a program needs before it can start: its loader and its libraries, read from its ELF headers.

/// A program's needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Needs {
    /// The loader's absolute path; a static program has none.
    pub(crate) loader: Option<String>,
    /// Names of shared libraries.
    pub(crate) libraries: Vec<String>,
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

/// Reads a 64-bit little-endian ELF file. `None` if it is not one, or is damaged.
pub(crate) fn needs(bytes: &[u8]) -> Option<Needs> {
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = u64_at(bytes, 0x20)?;
    let entry_size = u64::from(u16_at(bytes, 0x36)?);
    let count = u64::from(u16_at(bytes, 0x38)?);
    let mut segments = Vec::new();
    for index in 0..count {
        let at = usize::try_from(table.checked_add(index * entry_size)?).ok()?;
        segments.push(Segment {
            kind: u32_at(bytes, at)?,
            offset: u64_at(bytes, at + 8)?,
            address: u64_at(bytes, at + 16)?,
            size: u64_at(bytes, at + 32)?,
        });
    }
    let contents = |segment: &Segment| slice(bytes, segment.offset, segment.size);
    let loader = match segments.iter().find(|segment| segment.kind == PT_INTERP) {
        Some(segment) => Some(string(contents(segment)?, 0)?),
        None => None,
    };
    let Some(dynamic) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else {
        return Some(Needs { loader, libraries: Vec::new() });
    };
    let entries: Vec<(u64, u64)> = contents(dynamic)?
        .chunks_exact(16)
        .filter_map(|entry| Some((u64_at(entry, 0)?, u64_at(entry, 8)?)))
        .take_while(|&(tag, _)| tag != 0)
        .collect();
    let Some(&(_, strings)) = entries.iter().find(|&&(tag, _)| tag == DT_STRTAB) else {
        return Some(Needs { loader, libraries: Vec::new() });
    };
    let home = segments.iter().find(|segment| {
        segment.kind == PT_LOAD && strings.checked_sub(segment.address).is_some_and(|inside| inside < segment.size)
    })?;
    let inside = strings - home.address;
    let strings = slice(bytes, home.offset.checked_add(inside)?, home.size - inside)?;
    let needed = entries.iter().filter(|&&(tag, _)| tag == DT_NEEDED);
    let libraries = needed.map(|&(_, at)| string(strings, usize::try_from(at).ok()?)).collect::<Option<_>>()?;
    Some(Needs { loader, libraries })
}

fn slice(bytes: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(size).ok()?)?)
}

fn string(bytes: &[u8], at: usize) -> Option<String> {
    let text = bytes.get(at..)?;
    let text = &text[..text.iter().position(|&byte| byte == 0)?];
    String::from_utf8(text.to_vec()).ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_this_system_names_its_loader_and_libc() {
        let needs = needs(&std::fs::read("/bin/true").unwrap()).unwrap();
        assert!(needs.loader.unwrap().contains("ld-linux"));
        assert!(needs.libraries.iter().any(|name| name.starts_with("libc.so")));
    }

    #[test]
    fn damage_is_refused_and_never_a_panic() {
        let good = std::fs::read("/bin/true").unwrap();
        assert_eq!(needs(b"#!/bin/sh"), None);
        for length in (0..good.len()).step_by(97) {
            let _ = needs(&good[..length]);
        }
        for at in 0..0x400.min(good.len()) {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            let _ = needs(&bad);
        }
    }
}
