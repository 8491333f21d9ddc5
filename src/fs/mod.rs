//! Files: what the page cache and pipes are, independent of names and descriptors.

#[cfg(any(test, target_os = "none"))]
pub mod pagecache;
#[cfg(any(test, target_os = "none"))]
pub mod pipe;
