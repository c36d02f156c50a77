//! Keeps keys out of core dumps and away from debuggers of the same user.

use nix::sys::resource::{Resource, setrlimit};

/// No core file, and no ptrace or `/proc/PID/mem` by the operator's other processes. Call it first
/// thing in `main`, before any key is read.
pub fn harden_process() -> Result<(), nix::Error> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // Only Linux has it; elsewhere the limit above is what there is.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::resource::getrlimit;

    #[test]
    fn leaves_no_core_file() {
        harden_process().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        #[cfg(target_os = "linux")]
        assert!(!nix::sys::prctl::get_dumpable().unwrap());
    }
}
