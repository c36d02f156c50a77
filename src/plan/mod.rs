//! The steps between what is wanted and what is there.
