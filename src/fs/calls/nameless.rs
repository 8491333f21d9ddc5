//! What makes files without names: `pipe2`, `memfd_create`.

use super::super::Result;
use super::super::file::File;
use super::super::flags::OpenFlags;
use super::super::namei::Caller;
use super::super::refs::Ref;
use super::super::{nameless, pipe};
use crate::errno::Errno;

impl Caller<'_> {
    /// `pipe2`: the end to read from, then the end to write to. `O_CLOEXEC` is a matter of the descriptors that they get,
    /// and the caller's. EINVAL: unknown flags, and packets (`O_DIRECT`), which are not there.
    pub fn pipe(&self, flags: OpenFlags) -> Result<[Ref<File>; 2]> {
        if !(OpenFlags::NONBLOCK | OpenFlags::CLOEXEC).contains(flags) {
            return Err(Errno::Einval);
        }
        pipe::files::pair(flags, self.credentials)
    }

    /// `memfd_create`: memory that is a file, shown as `/memfd:name`. Its flags are a matter of descriptors (close-on-exec)
    /// or not there (sealing, huge pages): the caller looks at them.
    pub fn memory_file(&self, name: &[u8]) -> Result<Ref<File>> {
        nameless::memory(name, self.credentials)
    }
}
