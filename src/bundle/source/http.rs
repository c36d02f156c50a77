//! Executables over https, from upstream or a mirror of it: bounded, hashed while they stream to disk.

use std::error::Error as StdError;
use std::fmt;
use std::fs::{self, File as StdFile};
use std::io::{Read, Write};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, Url};

use super::super::hash::{Fingerprint, Hashing, Staged, copy};
use super::super::item::File;
use super::super::request::Request;
use super::super::{BundleError, Fetched, elf};
use super::layout::{
    CHECKSUM_LIMIT, Download, FILE_LIMIT, MANIFEST_LIMIT, UPSTREAM_HOSTS, download, stated_checksum,
};
use crate::release::artifact::{Arch, Sha256};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two reads, not for the whole: slow lines may take their time, dead ones may not.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Upstream needs two; more is a loop or worse.
const REDIRECTS: usize = 5;

/// Executables by upstream's paths.
pub struct HttpSource {
    client: Client,
    /// What stands before host and path: `https://` or `https://mirror/prefix/`.
    base: String,
    /// Archives stay here for the run: three executables come out of containerd's.
    downloads: Utf8PathBuf,
    limit: u64,
}

impl HttpSource {
    /// Upstream itself, or with `mirror` a server that has upstream's files under
    /// `MIRROR/dl.k8s.io/...` and `MIRROR/github.com/...`. `authorities` are PEM certificates trusted beside
    /// the system's; `downloads` is a directory of its own.
    pub fn new(
        mirror: Option<&str>,
        authorities: Option<&Utf8Path>,
        downloads: Utf8PathBuf,
    ) -> Result<Self, BundleError> {
        let (base, hosts) = match mirror {
            None => ("https://".to_owned(), UPSTREAM_HOSTS.map(str::to_owned).to_vec()),
            Some(mirror) => {
                let not_tls = || BundleError::NotTls { address: mirror.to_owned() };
                let url = Url::parse(mirror).map_err(|_| not_tls())?;
                let host = url.host_str().filter(|_| url.scheme() == "https").ok_or_else(not_tls)?;
                (format!("{}/", mirror.trim_end_matches('/')), vec![host.to_owned()])
            }
        };
        let mut builder = Client::builder()
            .https_only(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("keelwright/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::custom(move |attempt| follow(attempt, &hosts)));
        if let Some(path) = authorities {
            builder = builder.tls_certs_merge(read_certificates(path)?);
        }
        let client = builder.build().map_err(|source| BundleError::Client { source })?;
        Ok(HttpSource { client, base, downloads, limit: FILE_LIMIT })
    }

    #[cfg(test)]
    pub(crate) fn with_limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// The recorded source of an executable. What upstream published under a version never changes.
    pub fn source(&self, file: File, request: &Request) -> String {
        let Download { location, member, .. } = download(file, request);
        match member {
            Some(member) => format!("{} ({member})", self.url(&location)),
            None => self.url(&location),
        }
    }

    /// Puts an executable at `target`.
    pub async fn file(
        &self,
        file: File,
        request: &Request,
        target: &Utf8Path,
    ) -> Result<Fetched, BundleError> {
        let download = download(file, request);
        let print = match &download.member {
            None => self.fetch_to(&download, target, Some(request.arch)).await?,
            Some(member) => {
                let archive = self.archive(&download).await?;
                extract(&archive, member, &self.url(&download.location), target, request.arch, self.limit)?
            }
        };
        Ok(Fetched { version: request.file_version(file), print, source: self.source(file, request) })
    }

    /// A manifest's bytes, from its https address or from the mirror.
    pub async fn manifest(&self, url: &str) -> Result<Vec<u8>, BundleError> {
        let not_tls = || BundleError::NotTls { address: url.to_owned() };
        let location = url.strip_prefix("https://").ok_or_else(not_tls)?;
        // What is on the mirror's own host needs no detour.
        let url = if url.starts_with(&self.base) { url.to_owned() } else { self.url(location) };
        let mut bytes = Vec::new();
        self.stream(&url, MANIFEST_LIMIT, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })
        .await?;
        Ok(bytes)
    }

    /// The archive on disk, its checksum known to be right.
    async fn archive(&self, download: &Download) -> Result<Utf8PathBuf, BundleError> {
        let path = self.downloads.join(download.file_name());
        if !path.exists() {
            self.fetch_to(download, &path, None).await?;
        }
        Ok(path)
    }

    /// Streams a download to `target`; it appears there only with the stated checksum, and for `arch`.
    async fn fetch_to(
        &self,
        download: &Download,
        target: &Utf8Path,
        arch: Option<Arch>,
    ) -> Result<Fingerprint, BundleError> {
        let expected = self.checksum(download).await?;
        let url = self.url(&download.location);
        let mut staged = Staged::create(target)?;
        let mut hashing = Hashing::new(&mut staged);
        self.stream(&url, self.limit, |bytes| {
            hashing.write_all(bytes).map_err(BundleError::io("write", target))
        })
        .await?;
        let (_, print) = hashing.finish();
        if print.sha256 != expected {
            return Err(BundleError::Checksum { url, expected, got: print.sha256 });
        }
        if let Some(arch) = arch {
            elf::check_arch(staged.path(), arch)?;
        }
        staged.commit(arch.is_some())?;
        Ok(print)
    }

    async fn checksum(&self, download: &Download) -> Result<Sha256, BundleError> {
        let url = self.url(&download.checksum);
        let mut text = Vec::new();
        self.stream(&url, CHECKSUM_LIMIT, |bytes| {
            text.extend_from_slice(bytes);
            Ok(())
        })
        .await?;
        let file = download.file_name();
        stated_checksum(&String::from_utf8_lossy(&text), file)
            .ok_or_else(|| BundleError::NoChecksum { url, file: file.to_owned() })
    }

    /// Hands a body to `take`, piece by piece, and no more than `limit` of it.
    async fn stream(
        &self,
        url: &str,
        limit: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        let too_large = || BundleError::TooLarge { url: url.to_owned(), limit };
        let mut response = self.request(url).await?;
        let expected = response.content_length();
        if expected.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut got = 0;
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) => {
                    got += bytes.len() as u64;
                    if got > limit {
                        return Err(too_large());
                    }
                    take(&bytes)?;
                }
                Ok(None) => break,
                Err(source) => {
                    return Err(match expected {
                        Some(expected) if got < expected && !source.is_timeout() => {
                            BundleError::Truncated { url: url.to_owned(), got, expected }
                        }
                        Some(_) | None => fetch_error(url, source),
                    });
                }
            }
        }
        match expected {
            Some(expected) if got != expected => {
                Err(BundleError::Truncated { url: url.to_owned(), got, expected })
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn request(&self, url: &str) -> Result<Response, BundleError> {
        let response = self.client.get(url).send().await.map_err(|source| fetch_error(url, source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(BundleError::Status { url: url.to_owned(), status: status.as_u16() })
    }

    fn url(&self, location: &str) -> String {
        format!("{}{location}", self.base)
    }
}

/// A redirect that leads off the allow list.
#[derive(Debug)]
struct ForbiddenRedirect {
    to: String,
    allowed: Vec<String>,
}

impl fmt::Display for ForbiddenRedirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it redirects to {}, expected https on {}", self.to, self.allowed.join(", "))
    }
}

impl StdError for ForbiddenRedirect {}

fn follow(attempt: Attempt<'_>, hosts: &[String]) -> reqwest::redirect::Action {
    let url = attempt.url();
    // An operator's own address may move within its host.
    let first = attempt.previous().first().and_then(Url::host_str);
    let allowed = url.scheme() == "https"
        && url.host_str().is_some_and(|host| first == Some(host) || hosts.iter().any(|it| it == host));
    if !allowed {
        // The query of a signed address is a credential of sorts: not for error messages.
        let to = format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());
        return attempt.error(ForbiddenRedirect { to, allowed: hosts.to_vec() });
    }
    if attempt.previous().len() > REDIRECTS {
        return attempt.error("it redirects too often");
    }
    attempt.follow()
}

fn fetch_error(url: &str, source: reqwest::Error) -> BundleError {
    BundleError::Fetch { url: url.to_owned(), source: source.without_url() }
}

fn read_certificates(path: &Utf8Path) -> Result<Vec<reqwest::Certificate>, BundleError> {
    let pem = fs::read(path).map_err(BundleError::io("read", path))?;
    let bad = |source| BundleError::Certificates { path: path.to_owned(), source };
    reqwest::Certificate::from_pem_bundle(&pem).map_err(bad)
}

/// Takes one executable out of a `.tar.gz`.
fn extract(
    archive: &Utf8Path,
    member: &str,
    url: &str,
    target: &Utf8Path,
    arch: Arch,
    limit: u64,
) -> Result<Fingerprint, BundleError> {
    let read = BundleError::io;
    let file = StdFile::open(archive).map_err(read("read", archive))?;
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in tar.entries().map_err(read("read", archive))? {
        let entry = entry.map_err(read("read", archive))?;
        let path = entry.path().map_err(read("read", archive))?.into_owned();
        let same = path.strip_prefix("./").unwrap_or(&path) == std::path::Path::new(member);
        if !same || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut staged = Staged::create(target)?;
        let mut hashing = Hashing::new(&mut staged);
        // One more than allowed, to tell a file that fits exactly from one that does not.
        copy(&mut entry.take(limit + 1), &mut hashing).map_err(read("extract", target))?;
        let (_, print) = hashing.finish();
        if print.size > limit {
            return Err(BundleError::TooLarge { url: format!("{url} ({member})"), limit });
        }
        elf::check_arch(staged.path(), arch)?;
        staged.commit(true)?;
        return Ok(print);
    }
    Err(BundleError::NotInArchive { member: member.to_owned(), url: url.to_owned() })
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
