//! `keelwright bundle`: the artifacts of one Kubernetes version, checksummed.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::apply::block_on;
use super::bundle_error::failure;
use super::inventory::load;
use super::{CommandError, ErrorKind};
use crate::blueprint::cluster::{WantedManifest, release_manifest, wanted_manifests};
use crate::bundle::source::local::{Binaries, Local};
use crate::bundle::source::remote::{Remote, RemoteOptions};
use crate::bundle::{self, Event, GoBuilder, Request, Rootfs, Sources};
use crate::inventory::Inventory;
use crate::lab::{Lab, Progress};
use crate::release::KubeVersion;
use crate::release::artifact::{Arch, BundleManifest};
use crate::release::catalog;

/// Collect the artifacts of one Kubernetes version
///
/// A bundle is a directory with every executable and image a cluster of that version needs, each with its
/// SHA-256. Run it again to complete or repair it. With --inventory it also has the manifests of the
/// network plugin and the add-ons, and the images they name.
///
/// Example: keelwright bundle --inventory prod.yaml
///
/// Example: keelwright bundle --kubernetes-version v1.37.1 --output /srv/bundles/v1.37.1
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BundleArgs {
    #[command(subcommand)]
    command: Option<BundleCommand>,
    #[command(flatten)]
    make: MakeArgs,
}

#[derive(Debug, clap::Subcommand)]
enum BundleCommand {
    /// Check every file of a bundle against its manifest
    ///
    /// Exits with 1 when anything is missing, differs, or is not listed.
    ///
    /// Example: keelwright bundle verify /srv/bundles/v1.37.1
    Verify {
        /// The bundle's directory
        #[arg(value_name = "DIR")]
        directory: Utf8PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct MakeArgs {
    /// Everything this inventory needs: its version, its machines' architectures, its directory, its manifests
    #[arg(short, long, value_name = "FILE")]
    inventory: Option<Utf8PathBuf>,
    /// The Kubernetes version, such as v1.37.1; by default the inventory's, or the newest supported
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<KubeVersion>,
    /// The machines' architecture: amd64 or arm64; by default the inventory's, or this machine's
    #[arg(long)]
    arch: Option<Arch>,
    /// The bundle's directory; by default bundles/VERSION-ARCH in the cache
    #[arg(long, value_name = "DIR")]
    output: Option<Utf8PathBuf>,
    /// upstream (the default), mirror=URL, registry=REF, directory=DIR or go-modules
    ///
    /// mirror replaces the hosts of executables and registry that of images, so these two can be combined
    /// with each other and with upstream. directory and go-modules write the images themselves.
    #[arg(long, value_name = "SOURCE")]
    from: Vec<From>,
    /// Only these executables, images or groups: control-plane, runtime, cni, files, images
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Also these: kubeadm, agnhost, etcdctl, etcdutl, and the network plugins calico and flannel
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    with: Vec<String>,
    /// A Debian root file system to take runc, CNI plugins and iptables from; by default the lab's
    #[arg(long, value_name = "DIR")]
    rootfs: Option<Utf8PathBuf>,
    /// PEM certificates to trust beside the system's, for a mirror or registry of your own
    #[arg(long, value_name = "FILE")]
    ca_file: Option<Utf8PathBuf>,
    /// An etcd other than the version's own, such as 3.5.35
    #[arg(long, value_name = "VERSION")]
    etcd_version: Option<semver::Version>,
}

/// What `--from` says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    Upstream,
    Mirror(String),
    Registry(String),
    Directory(Utf8PathBuf),
    GoModules,
}

impl std::str::FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, value) = text.split_once('=').unwrap_or((text, ""));
        match (kind, value) {
            ("upstream", "") => Ok(From::Upstream),
            ("mirror", url) if !url.is_empty() => Ok(From::Mirror(url.to_owned())),
            ("registry", prefix) if !prefix.is_empty() => Ok(From::Registry(prefix.to_owned())),
            ("directory", directory) if !directory.is_empty() => Ok(From::Directory(directory.into())),
            ("go-modules", "") => Ok(From::GoModules),
            _ => Err("expected upstream, mirror=URL, registry=REF, directory=DIR or go-modules".to_owned()),
        }
    }
}

/// Runs the command.
pub fn run(args: BundleArgs) -> Result<ExitCode, CommandError> {
    match args.command {
        Some(BundleCommand::Verify { directory }) => verify(&directory),
        None => make(args.make),
    }
}

fn make(args: MakeArgs) -> Result<ExitCode, CommandError> {
    let (plugins, with) =
        args.with.iter().cloned().partition::<Vec<_>, _>(|name| release_manifest(name).is_some());
    let items = bundle::item::select(&args.only, &with).map_err(|error| {
        CommandError::new(ErrorKind::Usage, error).hint(format!("groups are {}", groups()))
    })?;
    let inventory = args.inventory.as_deref().map(load).transpose()?;
    let of_inventory = inventory.as_ref().map(|inventory| inventory.version);
    let version = args.kubernetes_version.or(of_inventory).unwrap_or_else(catalog::default_version);
    let mut manifests = inventory.as_ref().map(wanted_manifests).unwrap_or_default();
    for plugin in plugins.iter().filter_map(|name| release_manifest(name)) {
        if !manifests.iter().any(|known| known.name == plugin.name) {
            manifests.push(plugin);
        }
    }
    let directory = inventory.as_ref().and_then(|inventory| inventory.artifacts.bundle.clone());
    let output = args.output.clone().or(directory);
    for arch in architectures(args.arch, inventory.as_ref(), output.as_deref())? {
        let request =
            Request::new(version, arch, items.clone(), args.etcd_version.clone()).map_err(failure)?;
        let output = match &output {
            Some(output) => output.clone(),
            None => default_directory(version, arch)?,
        };
        one(&args, request, &manifests, &output)?;
        println!("{output}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The machines' architectures; each has a bundle, so more than one cannot share a directory.
fn architectures(
    asked: Option<Arch>,
    inventory: Option<&Inventory>,
    output: Option<&Utf8Path>,
) -> Result<BTreeSet<Arch>, CommandError> {
    let all: BTreeSet<Arch> = match (asked, inventory) {
        (Some(arch), _) => [arch].into(),
        (None, Some(inventory)) => inventory.hosts.values().map(|host| host.arch).collect(),
        (None, None) => [this_arch()?].into(),
    };
    match output {
        Some(output) if all.len() > 1 => {
            let error = format!("{output} would hold the bundles of {} architectures", all.len());
            Err(CommandError::new(ErrorKind::Usage, error)
                .hint("leave the directory out, or make each one: --arch amd64 --output DIR"))
        }
        Some(_) | None => Ok(all),
    }
}

/// Makes one bundle.
fn one(
    args: &MakeArgs,
    request: Request,
    manifests: &[WantedManifest],
    output: &Utf8Path,
) -> Result<(), CommandError> {
    let (version, arch, cache) = (request.version, request.arch, cache()?);
    let mut sources = sources(&args.from, args.rootfs.clone(), args.ca_file.as_deref(), &cache, arch)?;
    if let Sources::Local(local) = &mut sources
        && local.check(&request).is_err()
        && this_arch().is_ok_and(|own| own == arch)
    {
        local.rootfs = Some(lab_rootfs(&cache, arch)?);
    }
    eprintln!("Bundle of Kubernetes {version} for {arch} in {output}");
    let mut manifest = block_on(bundle::collect(&request, &sources, output, &show))?.map_err(failure)?;
    if !manifests.is_empty() {
        // Nothing makes these here: they are fetched wherever the executables come from.
        let upstream;
        let remote = match &sources {
            Sources::Remote(remote) => remote,
            Sources::Local(_) => {
                let options =
                    RemoteOptions { authorities: args.ca_file.as_deref(), ..RemoteOptions::default() };
                upstream = Remote::new(options, &downloads(&cache)).map_err(failure)?;
                &upstream
            }
        };
        let collected = bundle::collect_manifests(manifests, remote, output, &show);
        manifest = block_on(collected)?.map_err(failure)?;
    }
    eprintln!("{}", summary(&manifest));
    Ok(())
}

/// A directory of this run's for what is under way.
fn downloads(cache: &Utf8Path) -> Utf8PathBuf {
    cache.join("downloads").join(std::process::id().to_string())
}

/// The sources that `--from` combines to.
fn sources(
    from: &[From],
    rootfs: Option<Utf8PathBuf>,
    authorities: Option<&Utf8Path>,
    cache: &Utf8Path,
    arch: Arch,
) -> Result<Sources, CommandError> {
    let mut options = RemoteOptions { mirror: None, registry: None, authorities };
    let mut binaries = None;
    for source in from {
        match source {
            From::Upstream => {}
            From::Mirror(url) if options.mirror.is_none() => options.mirror = Some(url),
            From::Registry(prefix) if options.registry.is_none() => options.registry = Some(prefix),
            From::Directory(_) | From::GoModules if from.len() == 1 => {
                binaries = Some(match source {
                    From::Directory(directory) => Binaries::Directory(directory.clone()),
                    From::Upstream | From::Mirror(_) | From::Registry(_) | From::GoModules => {
                        Binaries::GoModules(GoBuilder::new(cache, arch))
                    }
                });
            }
            From::Mirror(_) | From::Registry(_) | From::Directory(_) | From::GoModules => {
                let error = "these values of --from cannot be combined";
                return Err(CommandError::new(ErrorKind::Usage, error)
                    .hint("give one of directory=DIR and go-modules alone, or at most one mirror=URL and one registry=REF"));
            }
        }
    }
    match binaries {
        Some(binaries) => {
            Ok(Sources::Local(Local { binaries, rootfs: rootfs.map(|root| Rootfs::new(root, arch)) }))
        }
        None => Remote::new(options, &downloads(cache)).map(Sources::Remote).map_err(failure),
    }
}

/// The lab's root file system, which has what no Go module has.
fn lab_rootfs(cache: &Utf8Path, arch: Arch) -> Result<Rootfs, CommandError> {
    let progress = Progress::new(|_, what| eprintln!("        {what}"));
    let path = Lab::rootfs(cache.as_std_path(), &progress)?;
    let path = Utf8PathBuf::from_path_buf(path)
        .map_err(|path| CommandError::new(ErrorKind::Usage, format!("{} is not UTF-8", path.display())))?;
    Ok(Rootfs::new(path, arch))
}

fn verify(directory: &Utf8Path) -> Result<ExitCode, CommandError> {
    let verified = bundle::verify(directory).map_err(failure)?;
    for finding in &verified.findings {
        println!("{finding}");
    }
    if verified.findings.is_empty() {
        eprintln!("{}: every hash is right", summary(&verified.manifest));
        return Ok(ExitCode::SUCCESS);
    }
    let error =
        format!("{} of the files in {directory} are not as the manifest says", verified.findings.len());
    let again = format!(
        "make it again over itself: keelwright bundle --kubernetes-version {} --arch {} --output {directory}",
        verified.manifest.kubernetes_version, verified.manifest.arch
    );
    Err(CommandError::new(ErrorKind::Failed, error).hint(again))
}

/// One line for what happened.
fn show(event: Event) {
    match event {
        Event::Building { name, set } => eprintln!("        building {name} from {set}"),
        Event::Built { name, elapsed } => eprintln!("        built {name} in {}", seconds(elapsed)),
        Event::Done { item, path: _, size, elapsed, number, of } => {
            eprintln!("[{number:>2}/{of}] {item}: {} in {}", megabytes(size), seconds(elapsed));
        }
        Event::Extra { what, kept: true, .. } => eprintln!("        {what}: unchanged"),
        Event::Extra { what, size, elapsed, kept: false } => {
            eprintln!("        {what}: {} in {}", megabytes(size), seconds(elapsed));
        }
        Event::FirstFetch { name, url, sha256 } => eprintln!(
            "        {name}: nobody stated the SHA-256 of {url}; from now on it is {sha256}. To have it checked\n        \
             everywhere, put it into the inventory"
        ),
        Event::Kept { item, number, of } => eprintln!("[{number:>2}/{of}] {item}: unchanged"),
    }
}

fn summary(manifest: &BundleManifest) -> String {
    format!(
        "{} executables, {} images and {} manifests, {}",
        manifest.files.len(),
        manifest.images.len(),
        manifest.manifests.len(),
        megabytes(manifest.total_size())
    )
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn groups() -> String {
    bundle::item::GROUPS.map(|(name, meaning)| format!("{name} ({meaning})")).join(", ")
}

fn this_arch() -> Result<Arch, CommandError> {
    match std::env::consts::ARCH {
        "x86_64" => Ok(Arch::Amd64),
        "aarch64" => Ok(Arch::Arm64),
        other => Err(CommandError::new(ErrorKind::Usage, format!("no bundle is made for {other}"))
            .hint("name the machines' architecture: --arch amd64")),
    }
}

/// Where the bundle of a version is when nobody says.
pub(super) fn default_directory(version: KubeVersion, arch: Arch) -> Result<Utf8PathBuf, CommandError> {
    Ok(cache()?.join("bundles").join(format!("{version}-{arch}")))
}

/// keelwright's cache directory as the environment says.
fn cache() -> Result<Utf8PathBuf, CommandError> {
    let [own, xdg, home] =
        ["KEELWRIGHT_CACHE", "XDG_CACHE_HOME", "HOME"].map(|name| std::env::var(name).ok());
    let cache =
        bundle::cache_directory(own.as_deref(), xdg.as_deref(), home.as_deref()).ok_or_else(|| {
            CommandError::new(ErrorKind::Usage, "there is no cache directory: HOME is not set")
                .hint("set KEELWRIGHT_CACHE to a directory")
        })?;
    // go and the linker run elsewhere, so a relative path would mean another place to them
    let here = std::env::current_dir().ok().and_then(|here| Utf8PathBuf::from_path_buf(here).ok());
    Ok(here.map_or(cache.clone(), |here| here.join(cache)))
}
