//! A cluster state directory: sealed keys, journal, lock.
