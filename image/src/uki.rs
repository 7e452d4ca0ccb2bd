//! The unified kernel image: kernel, initramfs and command line as sections of one UEFI program.
//!
//! systemd's PE stub finds the sections by name. They are appended behind its own, which needs only new section headers and
//! new sizes in the PE header; nothing in the stub moves.

/// Raised when the image changes for the same inputs.
pub(crate) const RECIPE: u32 = 1;

/// The stub cannot take the sections.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum UkiError {
    #[error("the stub is not a 64-bit UEFI program")]
    NotAStub,
    #[error("the stub has no room for {0} more section headers")]
    NoRoom(usize),
    #[error("the section name `{0}` is empty, too long, or in the stub already")]
    Name(String),
    #[error("the image would be larger than 4 GiB")]
    TooLarge,
}

/// Offsets in the headers, counted from the signature `PE\0\0` or from a section header.
mod at {
    pub(super) const SECTION_COUNT: usize = 6;
    pub(super) const OPTIONAL_SIZE: usize = 20;
    pub(super) const OPTIONAL: usize = 24;
    pub(super) const INITIALIZED_SIZE: usize = OPTIONAL + 8;
    pub(super) const SECTION_ALIGNMENT: usize = OPTIONAL + 32;
    pub(super) const FILE_ALIGNMENT: usize = OPTIONAL + 36;
    pub(super) const IMAGE_SIZE: usize = OPTIONAL + 56;
    pub(super) const HEADERS_SIZE: usize = OPTIONAL + 60;
    pub(super) const CHECKSUM: usize = OPTIONAL + 64;
}

const HEADER: usize = 40;
const PE32_PLUS: u16 = 0x20b;
/// Initialised data, readable.
const READ_ONLY_DATA: u32 = 0x4000_0040;

/// One section as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    name: String,
    address: u32,
    virtual_size: u32,
    raw: std::ops::Range<usize>,
}

/// The parts of a PE file that matter here.
struct Headers {
    signature: usize,
    first_section: usize,
    sections: Vec<Section>,
}

impl Headers {
    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..2)? != b"MZ" {
            return None;
        }
        let signature = u32_at(bytes, 0x3c)? as usize;
        if bytes.get(signature..signature.checked_add(4)?)? != b"PE\0\0"
            || u16_at(bytes, signature + at::OPTIONAL)? != PE32_PLUS
        {
            return None;
        }
        let first_section = signature + at::OPTIONAL + usize::from(u16_at(bytes, signature + at::OPTIONAL_SIZE)?);
        let count = usize::from(u16_at(bytes, signature + at::SECTION_COUNT)?);
        let section = |index: usize| {
            let header = first_section + index * HEADER;
            let name = bytes.get(header..header + 8)?;
            let name = &name[..name.iter().position(|&byte| byte == 0).unwrap_or(8)];
            let start = u32_at(bytes, header + 20)? as usize;
            let raw = start..start.checked_add(u32_at(bytes, header + 16)? as usize)?;
            bytes.get(raw.clone())?;
            Some(Section {
                name: String::from_utf8_lossy(name).into_owned(),
                virtual_size: u32_at(bytes, header + 8)?,
                address: u32_at(bytes, header + 12)?,
                raw,
            })
        };
        Some(Self { signature, first_section, sections: (0..count).map(section).collect::<Option<_>>()? })
    }
}

/// Appends sections, given as (name, contents), to the stub.
pub(crate) fn build(stub: &[u8], sections: &[(&str, &[u8])]) -> Result<Vec<u8>, UkiError> {
    let headers = Headers::read(stub).ok_or(UkiError::NotAStub)?;
    let field = |at: usize| u32_at(stub, headers.signature + at).ok_or(UkiError::NotAStub);
    let (section_alignment, file_alignment) = (field(at::SECTION_ALIGNMENT)?, field(at::FILE_ALIGNMENT)?);
    if !section_alignment.is_power_of_two() || !file_alignment.is_power_of_two() {
        return Err(UkiError::NotAStub);
    }
    let first_free = headers.first_section + headers.sections.len() * HEADER;
    let end_of_headers = first_free + sections.len() * HEADER;
    if end_of_headers > field(at::HEADERS_SIZE)? as usize {
        return Err(UkiError::NoRoom(sections.len()));
    }
    let align = |value: u32, to: u32| value.checked_next_multiple_of(to).ok_or(UkiError::TooLarge);
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| UkiError::TooLarge);

    let mut image = stub.to_vec();
    let mut address = headers.sections.iter().map(|section| section.address.saturating_add(section.virtual_size)).max();
    let mut added = 0_u32;
    let mut names: Vec<&str> = headers.sections.iter().map(|section| section.name.as_str()).collect();
    for (index, &(name, contents)) in sections.iter().enumerate() {
        if name.is_empty() || name.len() > 8 || names.contains(&name) {
            return Err(UkiError::Name(name.to_owned()));
        }
        names.push(name);
        let start = align(size(&image)?, file_alignment)?;
        let raw_size = align(size(contents)?, file_alignment)?;
        let place = align(address.unwrap_or_default(), section_alignment)?;
        address = Some(place.checked_add(size(contents)?).ok_or(UkiError::TooLarge)?);
        added = added.checked_add(raw_size).ok_or(UkiError::TooLarge)?;
        image.resize(start as usize, 0);
        image.extend_from_slice(contents);
        image.resize((start.checked_add(raw_size).ok_or(UkiError::TooLarge)?) as usize, 0);
        let header = first_free + index * HEADER;
        image[header..header + HEADER].fill(0);
        image[header..header + name.len()].copy_from_slice(name.as_bytes());
        for (at, value) in [(8, size(contents)?), (12, place), (16, raw_size), (20, start), (36, READ_ONLY_DATA)] {
            put_u32(&mut image, header + at, value);
        }
    }
    let count = u16::try_from(names.len()).map_err(|_| UkiError::NoRoom(sections.len()))?;
    let signature = headers.signature;
    image[signature + at::SECTION_COUNT..signature + at::SECTION_COUNT + 2].copy_from_slice(&count.to_le_bytes());
    let initialized = field(at::INITIALIZED_SIZE)?.checked_add(added).ok_or(UkiError::TooLarge)?;
    put_u32(&mut image, signature + at::INITIALIZED_SIZE, initialized);
    put_u32(&mut image, signature + at::IMAGE_SIZE, align(address.unwrap_or_default(), section_alignment)?);
    // UEFI does not look at it, and a signer computes it anew.
    put_u32(&mut image, signature + at::CHECKSUM, 0);
    Ok(image)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stub with one section and room for `room` headers in all.
    fn stub(room: usize) -> Vec<u8> {
        let (signature, optional_size) = (0x80, 0xf0);
        let first_section = signature + at::OPTIONAL + optional_size;
        let headers_size = (first_section + room * HEADER).next_multiple_of(0x200);
        let mut stub = vec![0; headers_size + 0x200];
        stub[..2].copy_from_slice(b"MZ");
        put_u32(&mut stub, 0x3c, signature as u32);
        stub[signature..signature + 4].copy_from_slice(b"PE\0\0");
        stub[signature + at::SECTION_COUNT] = 1;
        stub[signature + at::OPTIONAL_SIZE] = optional_size as u8;
        stub[signature + at::OPTIONAL..signature + at::OPTIONAL + 2].copy_from_slice(&PE32_PLUS.to_le_bytes());
        for (at, value) in [
            (at::SECTION_ALIGNMENT, 0x1000),
            (at::FILE_ALIGNMENT, 0x200),
            (at::IMAGE_SIZE, 0x2000),
            (at::HEADERS_SIZE, headers_size as u32),
        ] {
            put_u32(&mut stub, signature + at, value);
        }
        stub[first_section..first_section + 5].copy_from_slice(b".text");
        for (at, value) in [(8, 0x123), (12, 0x1000), (16, 0x200), (20, headers_size as u32)] {
            put_u32(&mut stub, first_section + at, value);
        }
        stub
    }

    #[test]
    fn sections_are_found_again_and_do_not_overlap() {
        let large = vec![7; 0x2345];
        let image = build(&stub(8), &[(".osrel", b"ID=x"), (".linux", &large), (".empty", b"")]).unwrap();
        let headers = Headers::read(&image).unwrap();
        let names: Vec<_> = headers.sections.iter().map(|section| section.name.as_str()).collect();
        assert_eq!(names, [".text", ".osrel", ".linux", ".empty"]);
        let contents = |index: usize| {
            let section = &headers.sections[index];
            &image[section.raw.start..section.raw.start + section.virtual_size as usize]
        };
        assert_eq!(contents(1), b"ID=x");
        assert_eq!(contents(2), large);
        for pair in headers.sections.windows(2) {
            assert_eq!(pair[1].address % 0x1000, 0);
            assert!(pair[0].address + pair[0].virtual_size <= pair[1].address);
            assert_eq!(pair[1].raw.start % 0x200, 0);
            assert!(pair[0].raw.end <= pair[1].raw.start);
        }
        let image_size = u32_at(&image, headers.signature + at::IMAGE_SIZE).unwrap();
        assert_eq!(image_size, (headers.sections[3].address).next_multiple_of(0x1000));
    }

    #[test]
    fn a_stub_that_cannot_take_them_is_refused() {
        let many: Vec<String> = (0..60).map(|index| format!(".s{index}")).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
        assert_eq!(build(&stub(2), &many), Err(UkiError::NoRoom(60)));
        assert_eq!(build(&stub(8), &[(".text", b"")]), Err(UkiError::Name(".text".into())));
        assert_eq!(build(b"\x7fELF", &[]), Err(UkiError::NotAStub));
        let whole = stub(8);
        for length in 0..whole.len() {
            let _ = build(&whole[..length], &[(".osrel", b"x")]);
        }
    }
}
