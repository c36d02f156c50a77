//! Artifacts made here: executables from a directory or from Go modules, images written around them.

use std::fs::File as StdFile;
use std::io::{Read, Write};

use camino::{Utf8Path, Utf8PathBuf};

use super::super::gobuild::{GoBuilder, go_command};
use super::super::hash::{Hashing, Staged, copy};
use super::super::image::{recipe, write_image};
use super::super::item::{CNI_PLUGINS, File, Item};
use super::super::request::Request;
use super::super::rootfs::Rootfs;
use super::super::{BundleError, Fetched, Report, elf};
use crate::release::catalog::Image;

/// Where executables are found.
pub enum Binaries {
    /// Named as in the manifest, in the directory itself or in its `bin` or `cni`.
    Directory(Utf8PathBuf),
    GoModules(GoBuilder),
}

/// Executables and, for what no Go module and no directory has, a Debian root file system.
pub struct Local {
    pub binaries: Binaries,
    pub rootfs: Option<Rootfs>,
}

struct Binary {
    path: Utf8PathBuf,
    version: Option<String>,
    source: String,
}

impl Local {
    /// Fails before anything is built when what only a root file system has is asked for without one.
    pub fn check(&self, request: &Request) -> Result<(), BundleError> {
        if self.rootfs.is_some() {
            return Ok(());
        }
        let needs = |item: &&Item| match item {
            Item::File(file) => {
                matches!(self.binaries, Binaries::GoModules(_)) && is_from_rootfs(file.name())
            }
            Item::Image(image) => recipe::needs_rootfs(*image),
        };
        let names: Vec<String> = request.items.iter().filter(needs).map(ToString::to_string).collect();
        if names.is_empty() { Ok(()) } else { Err(BundleError::NoRootfs { names: names.join(", ") }) }
    }

    /// The recorded source of an item whose inputs are all pinned: what has it already is up to date.
    pub async fn pinned_source(&self, item: Item, request: &Request) -> Result<Option<String>, BundleError> {
        let Binaries::GoModules(builder) = &self.binaries else { return Ok(None) };
        let names: &[&str] = match &item {
            Item::File(file) => &[file.name()],
            Item::Image(image) if recipe::needs_rootfs(*image) => return Ok(None),
            Item::Image(image) => recipe::executables(*image),
        };
        let mut sources = Vec::new();
        for name in names {
            let Some(command) = go_command(name, request)? else { return Ok(None) };
            sources.push(builder.locate(&command).await?.source);
        }
        Ok(Some(match item {
            Item::File(_) => sources.join("; "),
            Item::Image(_) => image_source(&sources),
        }))
    }

    /// Puts an executable at `target`.
    pub async fn file(
        &self,
        file: File,
        request: &Request,
        target: &Utf8Path,
        report: Report<'_>,
    ) -> Result<Fetched, BundleError> {
        let binary = self.binary(file.name(), request, report).await?;
        let mut staged = Staged::create(target)?;
        let mut reader = StdFile::open(&binary.path).map_err(BundleError::io("read", &binary.path))?;
        let mut hashing = Hashing::new(&mut staged);
        copy(&mut reader, &mut hashing).map_err(BundleError::io("write", target))?;
        let (_, print) = hashing.finish();
        staged.commit(true)?;
        let version = binary.version.unwrap_or_else(|| request.file_version(file));
        Ok(Fetched { version, print, source: binary.source })
    }

    /// Writes an image to `target`.
    pub async fn image(
        &self,
        image: Image,
        request: &Request,
        target: &Utf8Path,
        report: Report<'_>,
    ) -> Result<Fetched, BundleError> {
        let (mut executables, mut sources) = (Vec::new(), Vec::new());
        for name in recipe::executables(image) {
            let binary = self.binary(name, request, report).await?;
            executables.push(((*name).to_owned(), binary.path));
            sources.push(binary.source);
        }
        let reference = request.reference(image);
        let spec = recipe::image(image, reference, request.arch, &executables, self.rootfs.as_ref())?;
        let mut staged = Staged::create(target)?;
        let mut hashing = Hashing::new(std::io::BufWriter::with_capacity(256 * 1024, &mut staged));
        write_image(&spec, &mut hashing).map_err(BundleError::io("write", target))?;
        hashing.flush().map_err(BundleError::io("write", target))?;
        let (buffered, print) = hashing.finish();
        drop(buffered);
        staged.commit(false)?;
        Ok(Fetched {
            version: image.tag(request.release, request.version),
            print,
            source: image_source(&sources),
        })
    }

    async fn binary(&self, name: &str, request: &Request, report: Report<'_>) -> Result<Binary, BundleError> {
        match &self.binaries {
            Binaries::Directory(directory) => {
                let path = [directory.clone(), directory.join("bin"), directory.join("cni")]
                    .iter()
                    .map(|place| place.join(name))
                    .find(|path| path.is_file())
                    .ok_or_else(|| BundleError::Missing {
                        name: name.to_owned(),
                        place: directory.clone(),
                    })?;
                elf::check_arch(&path, request.arch)?;
                if is_kubernetes(name) {
                    check_version(name, &path, &request.version.to_string())?;
                }
                let source = path.to_string();
                Ok(Binary { path, version: None, source })
            }
            Binaries::GoModules(builder) => match go_command(name, request)? {
                Some(command) => {
                    let built = builder.build(&command, report).await?;
                    Ok(Binary { path: built.path, version: None, source: built.source })
                }
                None => self.rootfs_binary(name),
            },
        }
    }

    fn rootfs_binary(&self, name: &str) -> Result<Binary, BundleError> {
        let rootfs = self.rootfs.as_ref().ok_or_else(|| BundleError::NoRootfs { names: name.to_owned() })?;
        let package = if name == "runc" { "runc" } else { "containernetworking-plugins" };
        let version = rootfs.package_version(package)?;
        let path = rootfs.binary(name)?;
        Ok(Binary { path, source: format!("Debian package {package} {version}"), version: Some(version) })
    }
}

fn image_source(sources: &[String]) -> String {
    format!("written around {} (recipe {})", sources.join("; "), recipe::RECIPE)
}

fn is_from_rootfs(name: &str) -> bool {
    name == "runc" || CNI_PLUGINS.contains(&name)
}

fn is_kubernetes(name: &str) -> bool {
    name.starts_with("kube")
}

/// A directory says nothing of the versions in it, but Kubernetes executables carry theirs as text. This
/// catches the directory of another release; it is no proof of origin.
fn check_version(name: &str, path: &Utf8Path, version: &str) -> Result<(), BundleError> {
    let file = StdFile::open(path).map_err(BundleError::io("read", path))?;
    if contains(file, version.as_bytes()).map_err(BundleError::io("read", path))? {
        return Ok(());
    }
    Err(BundleError::OtherVersion {
        name: name.to_owned(),
        version: version.to_owned(),
        path: path.to_owned(),
    })
}

fn contains(mut reader: impl Read, needle: &[u8]) -> std::io::Result<bool> {
    let mut window = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let got = reader.read(&mut buffer)?;
        if got == 0 {
            return Ok(false);
        }
        window.extend_from_slice(buffer.get(..got).unwrap_or_default());
        if window.windows(needle.len()).any(|part| part == needle) {
            return Ok(true);
        }
        // A match may straddle two reads.
        let keep = window.len().saturating_sub(needle.len());
        window.drain(..keep);
    }
}
