//! etcd's volume, as the first boot of a control plane prepares it: a real block device and the real tools. Only
//! `lsblk` is told that a loop device is what a volume of EBS is.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use camino::Utf8Path;
use keelwright::cloud::Resource;
use keelwright::cloud::spec::{Lookups, desired};
use keelwright::inventory::{Origin, Wanted, parse_wanted};

use super::lifecycle::KEY;

const INVENTORY: &str = "apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {name: prod}
kubernetes: {version: v1.37.1}
provider: aws
etcd: {dataDir: /mnt/etcd}
aws: {region: eu-central-1, zones: 1, sshKey: key.pub, image: ami-03cf127a, controlPlanes: {count: 1, user: admin}}
";
/// Only the volume is a disk here, and only once it is attached; all else is asked of the real one.
const LSBLK: &str = r#"#!/bin/sh
case "$*" in
*--include*) [ ! -e "$ATTACHED" ] || echo "$DISK" ;;
*) exec /usr/bin/lsblk "$@" ;;
esac
"#;

/// A disk of 64 MiB, a machine's own directories, and the script.
struct Machine {
    directory: PathBuf,
    disk: String,
}

impl Machine {
    /// None where nobody may make block devices.
    fn new(name: &str) -> Option<Machine> {
        if !nix::unistd::geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
            eprintln!("skipped: a block device takes root and loop devices");
            return None;
        }
        let directory = std::env::temp_dir().join(format!("keelwright-volume-{}-{name}", std::process::id()));
        std::fs::create_dir_all(directory.join("bin")).unwrap();
        let image = directory.join("disk");
        std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let output = Command::new("losetup").args(["--find", "--show"]).arg(&image).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let disk = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let machine = Machine { directory, disk };
        std::fs::write(machine.directory.join("key.pub"), KEY).unwrap();
        std::fs::write(machine.directory.join("boot.sh"), machine.script()).unwrap();
        for (name, text) in [
            ("lsblk", LSBLK),
            ("systemctl", "#!/bin/sh\n"),
            // A wait is as long as it takes until the volume is attached.
            ("sleep", "#!/bin/sh\n[ ! -e \"$COMES\" ] || : >\"$ATTACHED\"\n"),
        ] {
            let path = machine.directory.join("bin").join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Some(machine)
    }

    fn script(&self) -> String {
        let base = Utf8Path::from_path(&self.directory).unwrap();
        let origin = Origin { file: "inventory.yaml", base, home: None };
        let inventory = match parse_wanted(INVENTORY.as_bytes(), &origin) {
            Ok((Wanted::Aws(inventory), _)) => inventory,
            Ok(_) => panic!("not aws"),
            Err(problems) => panic!("{problems}"),
        };
        let lookups = Lookups {
            partition: "aws".into(),
            account: "123456789012".into(),
            zones: vec!["eu-central-1a".into()],
            subnets: BTreeMap::new(),
            public_key: KEY.into(),
            first_boots: BTreeMap::new(),
        };
        let state = desired(&inventory, &lookups).unwrap();
        let instances = state.iter().filter(|(name, _)| name.as_str() == "instance/cp-1");
        let mut texts = instances.filter_map(|(_, wanted)| match &wanted.resource {
            Resource::Instance(instance) => instance.machine.user_data.clone(),
            _ => None,
        });
        texts.next().unwrap()
    }

    fn touch(&self, name: &str) {
        std::fs::write(self.directory.join(name), "").unwrap();
    }

    /// A boot for the first time, and what a shell then says; mounts are the machine's own.
    fn boot(&self, then: &str) -> Output {
        let directory = self.directory.display();
        let script = format!(
            "set -eu
mount -t tmpfs none /mnt
printf 'LABEL=root / ext4 defaults 0 1\\n' >{directory}/fstab
mount --bind {directory}/fstab /etc/fstab
sh {directory}/boot.sh
{then}
umount /mnt/etcd"
        );
        let path = format!("{directory}/bin:{}", std::env::var("PATH").unwrap());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        command.env("PATH", path).env("DISK", &self.disk);
        command.env("ATTACHED", self.directory.join("attached")).env("COMES", self.directory.join("comes"));
        command.output().unwrap()
    }

    fn says(&self, then: &str) -> String {
        let output = self.boot(then);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.disk]).status();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn a_blank_volume_becomes_etcds_and_what_is_on_it_outlives_the_machine() {
    let Some(machine) = Machine::new("blank") else { return };
    // It is attached while the machine boots.
    machine.touch("comes");
    let first = machine.says(
        "findmnt --noheadings --output SOURCE,FSTYPE /mnt/etcd; stat -c %a /mnt/etcd; cat /etc/fstab; echo data >/mnt/etcd/member",
    );
    let lines: Vec<&str> = first.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), [machine.disk.as_str(), "ext4"]);
    assert_eq!(lines[1], "700");
    assert_eq!(lines.len(), 4, "{first}");
    assert!(lines[3].starts_with("LABEL=keelwright-etcd /mnt/etcd ext4 "), "{first}");
    assert!(lines[3].contains("x-systemd.required-by=kubelet.service"), "{first}");
    // The next machine gets the same volume.
    assert_eq!(machine.says("cat /mnt/etcd/member"), "data\n");
    // And a boot that runs the script again changes nothing.
    let again = format!(
        "sh {}/boot.sh; grep -c keelwright-etcd /etc/fstab; cat /mnt/etcd/member",
        machine.directory.display()
    );
    assert_eq!(machine.says(&again), "1\ndata\n");
}

#[test]
fn a_disk_with_somebodys_data_is_left_alone() {
    let Some(machine) = Machine::new("theirs") else { return };
    machine.touch("attached");
    let made = Command::new("mkfs.ext4").args(["-q", "-L", "theirs", &machine.disk]).status().unwrap();
    assert!(made.success());
    let output = machine.boot("true");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no volume for etcd has come"), "{said}");
    let mut blkid = Command::new("blkid");
    blkid.args(["--probe", "--match-tag", "LABEL", "--output", "value", &machine.disk]);
    assert_eq!(String::from_utf8_lossy(&blkid.output().unwrap().stdout).trim(), "theirs");
}
