//! A simulated fleet behind the same ports as the real one.
