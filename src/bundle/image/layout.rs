//! An OCI image layout in one tar, as `ctr -n k8s.io images import` takes it, under its full name.

use std::io::{self, Write};

use serde_json::json;

use super::super::hash::{Fingerprint, fingerprint_bytes};
use super::layer::{self, Content, Layer};
use crate::release::artifact::{Arch, Sha256};

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
/// Uncompressed on purpose: unpacking is most of an import, and the bundle travels compressed if at all.
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/";

/// An image we write: one layer and how to start it.
#[derive(Debug, Clone)]
pub struct ImageSpec {
    pub reference: String,
    pub arch: Arch,
    pub entrypoint: Vec<String>,
    pub arguments: Vec<String>,
    /// `uid:gid`; empty is root.
    pub user: String,
    pub layer: Layer,
}

/// One blob of a layout.
pub struct Blob<'a> {
    pub print: Fingerprint,
    pub content: BlobContent<'a>,
}

pub enum BlobContent<'a> {
    Stored(Content),
    Layer(&'a Layer),
}

/// Writes an image made of one layer of ours.
pub fn write_image(spec: &ImageSpec, writer: &mut dyn Write) -> io::Result<()> {
    let layer = layer::fingerprint(&spec.layer)?;
    let config = json!({
        "architecture": spec.arch.as_str(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": spec.user,
            "Env": [PATH],
            "Entrypoint": spec.entrypoint,
            "Cmd": spec.arguments,
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", layer.sha256)] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "keelwright bundle" }],
    });
    let config = config.to_string().into_bytes();
    let config_print = fingerprint_bytes(&config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, &config_print),
        "layers": [descriptor(LAYER_TYPE, &layer)],
    });
    let blobs = vec![
        Blob { print: config_print, content: BlobContent::Stored(Content::Bytes(config)) },
        Blob { print: layer, content: BlobContent::Layer(&spec.layer) },
    ];
    write_layout(&spec.reference, spec.arch, MANIFEST_TYPE, manifest.to_string().into_bytes(), blobs, writer)
}

fn descriptor(media_type: &str, print: &Fingerprint) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{}", print.sha256), "size": print.size })
}

/// Writes a layout around a manifest and the blobs it names.
pub fn write_layout(
    reference: &str,
    arch: Arch,
    manifest_type: &str,
    manifest: Vec<u8>,
    mut blobs: Vec<Blob<'_>>,
    writer: &mut dyn Write,
) -> io::Result<()> {
    let print = fingerprint_bytes(&manifest);
    let mut entry = descriptor(manifest_type, &print);
    entry["platform"] = json!({ "architecture": arch.as_str(), "os": "linux" });
    // containerd imports under the first name; other tools know the second, which holds the tag alone.
    let tag = reference.rsplit_once(':').map_or(reference, |(_, tag)| tag);
    entry["annotations"] = json!({
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": tag,
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    });
    blobs.push(Blob { print, content: BlobContent::Stored(Content::Bytes(manifest)) });
    blobs.sort_by(|a, b| a.print.sha256.cmp(&b.print.sha256));
    // Two layers of an image may be the same blob.
    blobs.dedup_by(|a, b| a.print.sha256 == b.print.sha256);

    let mut tar = tar::Builder::new(writer);
    for directory in ["blobs/", "blobs/sha256/"] {
        let mut header = layer::header(tar::EntryType::Directory, 0o755, 0);
        tar.append_data(&mut header, directory, io::empty())?;
    }
    for blob in &blobs {
        append_blob(&mut tar, &blob.print.sha256, blob.print.size, &blob.content)?;
    }
    for (name, content) in [("index.json", index), ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }))] {
        layer::append_file(&mut tar, name, 0o644, &Content::Bytes(content.to_string().into_bytes()))?;
    }
    tar.finish()
}

fn append_blob(
    tar: &mut tar::Builder<&mut dyn Write>,
    sha256: &Sha256,
    size: u64,
    content: &BlobContent<'_>,
) -> io::Result<()> {
    let path = format!("blobs/sha256/{sha256}");
    match content {
        BlobContent::Stored(content) => layer::append_file(tar, &path, 0o644, content),
        BlobContent::Layer(layer) => {
            // The layer is written straight into the archive: header, its own bytes, padding to a block.
            let mut header = layer::header(tar::EntryType::Regular, 0o644, size);
            header.set_path(&path)?;
            header.set_cksum();
            let writer = tar.get_mut();
            writer.write_all(header.as_bytes())?;
            let mut hashing = super::super::hash::Hashing::new(&mut *writer);
            layer.write(&mut hashing)?;
            let (_, print) = hashing.finish();
            if print.sha256 != *sha256 {
                return Err(io::Error::other("a file of the layer changed while the image was written"));
            }
            let padding = (512 - size % 512) % 512;
            writer.write_all(&vec![0; padding as usize])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;
    use crate::bundle::hash::fingerprint;

    fn spec() -> ImageSpec {
        let mut layer = Layer::default();
        layer.file("/pause", 0o755, Content::Bytes(b"binary".to_vec()));
        ImageSpec {
            reference: "registry.k8s.io/pause:3.10.2".to_owned(),
            arch: Arch::Amd64,
            entrypoint: vec!["/pause".to_owned()],
            arguments: Vec::new(),
            user: "65535:65535".to_owned(),
            layer,
        }
    }

    fn unpack(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(bytes);
        let mut files = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(path, content);
        }
        files
    }

    #[test]
    fn every_blob_is_named_by_its_hash_and_reachable_from_the_index() {
        let mut bytes = Vec::new();
        write_image(&spec(), &mut bytes).unwrap();
        let files = unpack(&bytes);
        for (path, content) in &files {
            if let Some(digest) = path.strip_prefix("blobs/sha256/").filter(|digest| !digest.is_empty()) {
                assert_eq!(fingerprint(content.as_slice()).unwrap().sha256.as_str(), digest);
            }
        }
        let json = |path: &str| -> serde_json::Value { serde_json::from_slice(&files[path]).unwrap() };
        let blob = |digest: &serde_json::Value| {
            format!("blobs/sha256/{}", digest.as_str().unwrap().strip_prefix("sha256:").unwrap())
        };
        let index = json("index.json");
        let annotations = &index["manifests"][0]["annotations"];
        assert_eq!(annotations["io.containerd.image.name"], "registry.k8s.io/pause:3.10.2");
        assert_eq!(annotations["org.opencontainers.image.ref.name"], "3.10.2");
        let manifest = json(&blob(&index["manifests"][0]["digest"]));
        let config = json(&blob(&manifest["config"]["digest"]));
        assert_eq!(config["config"]["Entrypoint"][0], "/pause");
        assert_eq!(config["architecture"], "amd64");
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        let layer = &files[&blob(&manifest["layers"][0]["digest"])];
        assert_eq!(layer.len() as u64, manifest["layers"][0]["size"].as_u64().unwrap());
        assert_eq!(unpack(layer)["pause"], b"binary");
        assert_eq!(files["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
    }

    #[test]
    fn the_same_image_is_the_same_bytes() {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        write_image(&spec(), &mut one).unwrap();
        write_image(&spec(), &mut two).unwrap();
        assert_eq!(one, two);
    }
}
