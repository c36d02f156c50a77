//! OCI images as layout tars: written from binaries by ourselves, or around blobs that were pulled.

pub mod layer;
pub mod layout;
pub mod recipe;

pub use layer::{Content, Layer};
pub use layout::write_image;
