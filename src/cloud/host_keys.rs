//! Host keys as a new machine says them on its console, which only the cloud can show: nobody on the network
//! can pass for it.

const BEGIN: &str = "-----BEGIN SSH HOST KEY KEYS-----";
const END: &str = "-----END SSH HOST KEY KEYS-----";
/// What a key of sshd begins with.
const KINDS: &[&str] = &["ssh-ed25519 ", "ecdsa-sha2-nistp", "ssh-rsa "];

/// The keys of the last list that is whole, as `ssh-ed25519 AAAA…`; empty: none yet.
pub fn host_keys(console: &str) -> Vec<String> {
    let Some((before, _)) = console.rsplit_once(END) else { return Vec::new() };
    let Some((_, list)) = before.rsplit_once(BEGIN) else { return Vec::new() };
    list.lines().filter_map(key).collect()
}

/// A line may have the time and the program before the key, and has a comment behind it.
fn key(line: &str) -> Option<String> {
    let start = KINDS.iter().filter_map(|kind| line.find(kind)).min()?;
    let mut words = line.get(start..)?.split_whitespace();
    let (kind, key) = (words.next()?, words.next()?);
    key.starts_with("AAAA").then(|| format!("{kind} {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_last_whole_list() {
        let cloud_init = "\
[   9.1] cloud-init[512]: Generating keys...\r
<14>Nov 22 03:00:00 ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r
<14>Nov 22 03:00:00 ec2: 256 SHA256:abc root@ip-10-0-0-10 (ED25519)\r
<14>Nov 22 03:00:00 ec2: -----END SSH HOST KEY FINGERPRINTS-----\r
-----BEGIN SSH HOST KEY KEYS-----\r
ecdsa-sha2-nistp256 AAAAE2Vj root@ip-10-0-0-10\r
ssh-ed25519 AAAAC3Nz root@ip-10-0-0-10\r
ssh-rsa AAAAB3Nz root@ip-10-0-0-10\r
-----END SSH HOST KEY KEYS-----\r
[   9.9] cloud-init[512]: finished\r
";
        let want = ["ecdsa-sha2-nistp256 AAAAE2Vj", "ssh-ed25519 AAAAC3Nz", "ssh-rsa AAAAB3Nz"];
        assert_eq!(host_keys(cloud_init), want);
        let again = format!("{BEGIN}\nssh-ed25519 AAAAold x\n{END}\n{cloud_init}");
        assert_eq!(host_keys(&again), want);
        let cut = format!("{cloud_init}{BEGIN}\nssh-ed25519 AAAAnew x\n");
        assert_eq!(host_keys(&cut), want, "a list that is not whole does not count");
        let prefixed = format!("{BEGIN}\n[ 3.0] cloud-init[1]: ssh-ed25519 AAAAC3Nz root@x\n{END}\n");
        assert_eq!(host_keys(&prefixed), ["ssh-ed25519 AAAAC3Nz"]);
    }

    #[test]
    fn nothing_else_is_a_key() {
        for text in [
            "",
            BEGIN,
            END,
            "-----END SSH HOST KEY KEYS-----\n-----BEGIN SSH HOST KEY KEYS-----\nssh-rsa AAAA x",
            "ssh-ed25519 AAAAC3Nz root@x",
        ] {
            assert_eq!(host_keys(text), Vec::<String>::new(), "{text:?}");
        }
        assert_eq!(
            host_keys(&format!("{BEGIN}\nssh-ed25519\nssh-rsa notakey x\n{END}")),
            Vec::<String>::new()
        );
    }
}
