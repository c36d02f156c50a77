//! What an ELF file says about itself: its machine, its loader and the libraries it needs.

use std::fs::File;
use std::io::Read;

use camino::Utf8Path;

use super::BundleError;
use crate::release::artifact::Arch;

const MAGIC: &[u8] = b"\x7fELF";
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const SEGMENT_LOAD: u32 = 1;
const SEGMENT_DYNAMIC: u32 = 2;
const SEGMENT_INTERPRETER: u32 = 3;
const TAG_NEEDED: u64 = 1;
const TAG_STRING_TABLE: u64 = 5;

/// What a dynamically linked file asks for; both empty in a static one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dynamic {
    pub interpreter: Option<String>,
    pub needed: Vec<String>,
}

/// Fails unless the file is a 64-bit ELF file for `arch`. Only the header is read.
pub fn check_arch(path: &Utf8Path, arch: Arch) -> Result<(), BundleError> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(BundleError::io("read", path))?;
    file.take(20).read_to_end(&mut start).map_err(BundleError::io("read", path))?;
    check_header(&start, arch).map_err(|found| BundleError::WrongBinary {
        path: path.to_owned(),
        arch,
        found,
    })
}

fn check_header(start: &[u8], arch: Arch) -> Result<(), String> {
    if start.get(..4) != Some(MAGIC) {
        let shown: String =
            start.iter().take(8).flat_map(|byte| byte.escape_ascii()).map(char::from).collect();
        return Err(format!("it starts with \"{shown}\""));
    }
    if (start.get(4), start.get(5)) != (Some(&CLASS_64), Some(&LITTLE_ENDIAN)) {
        return Err("it is not 64-bit little-endian".to_owned());
    }
    match u16_at(start, 18) {
        Some(machine) if machine == arch.elf_machine() => Ok(()),
        Some(machine) => match [Arch::Amd64, Arch::Arm64].iter().find(|known| known.elf_machine() == machine)
        {
            Some(known) => Err(format!("it is for {known}")),
            None => Err(format!("its ELF machine is {machine}")),
        },
        None => Err("it ends within its header".to_owned()),
    }
}

/// The loader and the libraries of a 64-bit little-endian ELF file.
pub fn dynamic(path: &Utf8Path) -> Result<Dynamic, BundleError> {
    let bytes = std::fs::read(path).map_err(BundleError::io("read", path))?;
    parse_dynamic(&bytes).map_err(|reason| BundleError::BadElf { path: path.to_owned(), reason })
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

fn parse_dynamic(bytes: &[u8]) -> Result<Dynamic, &'static str> {
    if bytes.get(..6) != Some(&[MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], CLASS_64, LITTLE_ENDIAN]) {
        return Err("not a 64-bit little-endian ELF file");
    }
    let segments = segments(bytes).ok_or("its program headers are cut off")?;
    let mut found = Dynamic::default();
    for segment in &segments {
        match segment.kind {
            SEGMENT_INTERPRETER => {
                found.interpreter = Some(text_at(bytes, segment.offset).ok_or("its loader has no name")?);
            }
            SEGMENT_DYNAMIC => {
                found.needed = needed(bytes, &segments, segment).ok_or("its dynamic section is cut off")?;
            }
            _ => {}
        }
    }
    Ok(found)
}

fn segments(bytes: &[u8]) -> Option<Vec<Segment>> {
    let (start, size, count) = (u64_at(bytes, 32)?, u16_at(bytes, 54)?, u16_at(bytes, 56)?);
    (0..u64::from(count))
        .map(|index| {
            let at = usize::try_from(start.checked_add(index * u64::from(size))?).ok()?;
            Some(Segment {
                kind: u32_at(bytes, at)?,
                offset: u64_at(bytes, at.checked_add(8)?)?,
                address: u64_at(bytes, at.checked_add(16)?)?,
                size: u64_at(bytes, at.checked_add(32)?)?,
            })
        })
        .collect()
}

fn needed(bytes: &[u8], segments: &[Segment], dynamic: &Segment) -> Option<Vec<String>> {
    let (mut names, mut strings) = (Vec::new(), None);
    for index in 0..dynamic.size / 16 {
        let at = usize::try_from(dynamic.offset.checked_add(index * 16)?).ok()?;
        match (u64_at(bytes, at)?, u64_at(bytes, at.checked_add(8)?)?) {
            (0, _) => break,
            (TAG_NEEDED, offset) => names.push(offset),
            (TAG_STRING_TABLE, address) => strings = Some(file_offset(segments, address)?),
            _ => {}
        }
    }
    if names.is_empty() {
        return Some(Vec::new());
    }
    let strings: u64 = strings?;
    names.into_iter().map(|offset| text_at(bytes, strings.checked_add(offset)?)).collect()
}

/// Where in the file the byte is that would be loaded at `address`.
fn file_offset(segments: &[Segment], address: u64) -> Option<u64> {
    segments.iter().filter(|segment| segment.kind == SEGMENT_LOAD).find_map(|segment| {
        let within = address.checked_sub(segment.address).filter(|within| *within < segment.size)?;
        segment.offset.checked_add(within)
    })
}

fn text_at(bytes: &[u8], offset: u64) -> Option<String> {
    let rest = bytes.get(usize::try_from(offset).ok()?..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    String::from_utf8(rest.get(..end)?.to_vec()).ok()
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
pub(crate) mod tests {
    use super::*;
    use crate::bundle::testing::Scratch;

    /// A header just good enough to pass for an executable of `arch`, and some bytes after it.
    pub(crate) fn executable(arch: Arch, body: &str) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = CLASS_64;
        bytes[5] = LITTLE_ENDIAN;
        bytes[18..20].copy_from_slice(&arch.elf_machine().to_le_bytes());
        bytes.extend(body.bytes());
        bytes
    }

    /// A dynamically linked file with this loader and these libraries, and nothing else.
    pub(crate) fn dynamic_executable(arch: Arch, interpreter: &str, needed: &[&str]) -> Vec<u8> {
        let mut bytes = executable(arch, "");
        let mut strings = vec![0];
        let mut tags: Vec<(u64, u64)> = Vec::new();
        for name in needed {
            tags.push((TAG_NEEDED, strings.len() as u64));
            strings.extend(name.bytes().chain([0]));
        }
        const ADDRESS: u64 = 0x40_0000;
        let headers = 64 + 3 * 56;
        let interpreter_at = headers + (tags.len() + 2) * 16;
        let strings_at = interpreter_at + interpreter.len() + 1;
        tags.extend([(TAG_STRING_TABLE, ADDRESS + strings_at as u64), (0, 0)]);
        let end = strings_at + strings.len();
        let segments = [
            (SEGMENT_LOAD, 0, ADDRESS, end),
            (SEGMENT_DYNAMIC, headers, ADDRESS + headers as u64, tags.len() * 16),
            (SEGMENT_INTERPRETER, interpreter_at, ADDRESS + interpreter_at as u64, interpreter.len() + 1),
        ];
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&3_u16.to_le_bytes());
        for (kind, offset, address, size) in segments {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(0_u32.to_le_bytes());
            bytes.extend((offset as u64).to_le_bytes());
            bytes.extend(address.to_le_bytes());
            bytes.extend(address.to_le_bytes());
            bytes.extend((size as u64).to_le_bytes());
            bytes.extend((size as u64).to_le_bytes());
            bytes.extend(1_u64.to_le_bytes());
        }
        for (tag, value) in tags {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(interpreter.bytes().chain([0]));
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn tells_architectures_and_other_files_apart() {
        let scratch = Scratch::new();
        let path = scratch.path().join("kubelet");
        let check = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            check_arch(&path, Arch::Amd64).map_err(|error| error.to_string())
        };
        assert_eq!(check(&executable(Arch::Amd64, "")), Ok(()));
        let wrong = check(&executable(Arch::Arm64, "")).unwrap_err();
        assert!(wrong.ends_with("kubelet is not an ELF executable for amd64: it is for arm64"), "{wrong}");
        for (bytes, found) in [
            (b"#!/bin/sh\n".to_vec(), "it starts with \"#!/bin/s\""),
            (b"<html>".to_vec(), "it starts with \"<html>\""),
            (Vec::new(), "it starts with \"\""),
            (b"\x7fELF\x01\x01".to_vec(), "it is not 64-bit little-endian"),
            (b"\x7fELF\x02\x01".to_vec(), "it ends within its header"),
        ] {
            let error = check(&bytes).unwrap_err();
            assert!(error.ends_with(found), "{error}");
        }
    }

    #[test]
    fn finds_loader_and_libraries() {
        let bytes =
            dynamic_executable(Arch::Amd64, "/lib64/ld-linux-x86-64.so.2", &["libm.so.6", "libc.so.6"]);
        let found = parse_dynamic(&bytes).unwrap();
        assert_eq!(found.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(found.needed, ["libm.so.6", "libc.so.6"]);
        assert_eq!(parse_dynamic(&executable(Arch::Amd64, "static")).unwrap(), Dynamic::default());
    }

    #[test]
    fn never_panics_on_a_file_that_is_cut_off_or_garbled() {
        let bytes = dynamic_executable(Arch::Amd64, "/lib/ld.so", &["libc.so.6"]);
        for length in 0..bytes.len() {
            let _ = parse_dynamic(&bytes[..length]);
        }
        for at in 0..bytes.len() {
            let mut garbled = bytes.clone();
            garbled[at] = 0xff;
            let _ = parse_dynamic(&garbled);
        }
    }
}
