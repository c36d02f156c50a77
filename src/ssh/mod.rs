//! SSH sessions: bastion hops, host keys, stages, uploads, port forwards (russh).
