//! The header of an x86 kernel image (`Documentation/arch/x86/boot.rst` of the kernel describes it).

/// The kernel's release, as `uname -r` will say it. `None` if these bytes are not a kernel image that says so.
pub(crate) fn release(image: &[u8]) -> Option<String> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let offset = usize::from(u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?));
    if offset == 0 {
        return None;
    }
    let text = image.get(offset + 0x200..)?;
    let text = &text[..text.iter().position(|&byte| byte == 0)?];
    let release = std::str::from_utf8(text).ok()?.split(' ').next()?;
    (!release.is_empty()).then(|| release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(version: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x1000];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
        image[0x500..0x500 + version.len()].copy_from_slice(version);
        image
    }

    #[test]
    fn the_release_is_the_first_word_of_the_version() {
        assert_eq!(release(&image(b"6.12.1-orlop (a@b) #1 SMP\0")).as_deref(), Some("6.12.1-orlop"));
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(release(b"MZ"), None);
        assert_eq!(release(&image(b"\0")), None);
        assert_eq!(release(&image(b"x\0")[..0x400]), None);
    }
}
