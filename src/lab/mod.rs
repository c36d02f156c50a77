//! Throwaway machines on this Linux box (systemd-nspawn): real systemd, sshd and kernel network.
