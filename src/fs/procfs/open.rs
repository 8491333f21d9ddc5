//! Open files of /proc.
//!
//! A text is read through a cursor ([`format`](super::super::format)): each record is made once, when a reader comes to
//! it. Bytes of a process's are read from it as they are. What is written is a setting's new value, in one piece.

use super::super::Result;
use super::super::file::{File, FileOps, Opened};
use super::super::format::{Cursor, Source, Text, Trouble};
use super::super::io::{self, Sink};
use super::process::{Bytes, Process};
use super::settings::Setting;
use super::tree::{MakeGlobal, MakeOf};
use super::{Sources, of};
use crate::errno::Errno;
use crate::fs::refs::Ref;
use crate::mm::vma::room;
use crate::sync::{Mutex, Rank};
use alloc::vec::Vec;

/// Bytes that are moved at once.
const PIECE: usize = 4096;

impl From<Trouble> for Errno {
    fn from(_: Trouble) -> Self {
        Self::Enomem
    }
}

/// What a text is of.
pub enum Texts {
    Global(Sources, MakeGlobal),
    Of(Sources, Ref<dyn Process>, MakeOf),
    FdInfo(Ref<dyn Process>, i32),
    Name(Ref<dyn Process>),
    Setting(Sources, Setting),
}

impl Texts {
    /// ESRCH if it is of a process that is gone.
    fn check(&self) -> Result<()> {
        match self {
            Self::Of(_, process, _) | Self::FdInfo(process, _) | Self::Name(process) => gone(&**process),
            _ => Ok(()),
        }
    }
}

fn gone(process: &dyn Process) -> Result<()> {
    process.owner().map(|_| ()).ok_or(Errno::Esrch)
}

/// A record that is the whole file.
pub fn once(after: Option<u64>, make: impl FnOnce()) -> Option<u64> {
    if after.is_some() {
        return None;
    }
    make();
    Some(0)
}

impl Source for Texts {
    type Key = u64;

    fn next(&self, after: Option<&u64>, out: &mut Text) -> Option<u64> {
        let after = after.copied();
        match self {
            Self::Global(sources, make) => make(sources, after, out),
            Self::Of(sources, process, make) => make(sources, &**process, after, out),
            Self::FdInfo(process, fd) => once(after, || of::fdinfo::make(&**process, *fd, out)),
            Self::Name(process) => once(after, || {
                process.name(out);
                let _ = out.push(b"\n");
            }),
            Self::Setting(sources, which) => once(after, || {
                sources.system.setting(*which, out);
                let _ = out.push(b"\n");
            }),
        }
    }
}

/// A text that is open.
pub struct TextFile {
    texts: Texts,
    cursor: Mutex<Cursor<u64>>,
}

impl TextFile {
    fn new(texts: Texts) -> Self {
        Self { texts, cursor: Mutex::new(Rank::ProcText, Cursor::new()) }
    }

    pub fn open(texts: Texts) -> Result<Opened> {
        Opened::object(Self::new(texts))
    }

    fn read_text(&self, to: &mut dyn Sink, at: u64) -> Result<usize> {
        let mut done = 0;
        let mut buffer = buffer(to.room())?;
        while to.room() > 0 {
            let wanted = to.room().min(buffer.len());
            let position = at + done as u64;
            if position == 0 {
                self.texts.check()?;
            }
            // The lock is let go before the bytes are given away: a program's memory may fault.
            let read = self.cursor.lock().read(&self.texts, position, &mut buffer[..wanted]);
            let len = match read {
                Ok(0) => {
                    // It may be empty for having ended just now.
                    if position == 0 {
                        self.texts.check()?;
                    }
                    break;
                }
                Ok(len) => len,
                Err(_) if done > 0 => break,
                Err(trouble) => return Err(trouble.into()),
            };
            let put = to.put(&buffer[..len]);
            done += put;
            if put < len {
                return io::moved(done);
            }
        }
        Ok(done)
    }
}

fn buffer(wanted: usize) -> Result<Vec<u8>> {
    let len = wanted.min(PIECE);
    let mut buffer = room::with_room(len).map_err(|_| Errno::Enomem)?;
    buffer.resize(len, 0);
    Ok(buffer)
}

impl FileOps for TextFile {
    fn read(&self, _: &File, to: &mut dyn Sink, at: u64) -> Result<usize> {
        self.read_text(to, at)
    }
}

/// Bytes of a process's.
pub struct RawFile {
    pub process: Ref<dyn Process>,
    pub what: Bytes,
    /// The program that it was opened of.
    pub image: u64,
}

impl FileOps for RawFile {
    fn read(&self, _: &File, to: &mut dyn Sink, at: u64) -> Result<usize> {
        gone(&*self.process)?;
        // Who might look into one program might not look into the next: what is private is of that one only.
        if self.what != Bytes::Arguments && self.process.image() != self.image {
            return Ok(0);
        }
        let mut buffer = buffer(to.room())?;
        let mut done = 0;
        while to.room() > 0 {
            let wanted = to.room().min(buffer.len());
            let len = match self.process.bytes(self.what, at + done as u64, &mut buffer[..wanted]) {
                Ok(0) => break,
                Ok(len) => len,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            let put = to.put(&buffer[..len]);
            done += put;
            if put < len {
                return io::moved(done);
            }
        }
        Ok(done)
    }
}

/// What is written at once, without the line's end.
fn written(from: &mut dyn io::Source, at: u64, longest: usize) -> Result<(Vec<u8>, usize)> {
    if at != 0 {
        return Err(Errno::Einval);
    }
    let len = from.left();
    let mut text = buffer(len.min(longest))?;
    let taken = from.take(&mut text);
    if taken < text.len() {
        return Err(Errno::Efault);
    }
    let end = text.iter().position(|&byte| byte == b'\n' || byte == 0).unwrap_or(text.len());
    text.truncate(end);
    Ok((text, len))
}

/// A process's name.
pub struct NameFile {
    text: TextFile,
    process: Ref<dyn Process>,
}

impl NameFile {
    pub fn open(process: Ref<dyn Process>) -> Result<Opened> {
        Opened::object(Self { text: TextFile::new(Texts::Name(process.clone())), process })
    }
}

impl FileOps for NameFile {
    fn read(&self, _: &File, to: &mut dyn Sink, at: u64) -> Result<usize> {
        self.text.read_text(to, at)
    }

    fn write(&self, _: &File, from: &mut dyn io::Source, at: u64) -> Result<usize> {
        gone(&*self.process)?;
        // A longer name is cut off.
        let (name, len) = written(from, at, of::NAME_BYTES)?;
        self.process.set_name(&name)?;
        Ok(len)
    }
}

/// A setting.
pub struct SettingFile {
    text: TextFile,
    sources: Sources,
    which: Setting,
}

impl SettingFile {
    pub fn open(sources: Sources, which: Setting) -> Result<Opened> {
        Opened::object(Self { text: TextFile::new(Texts::Setting(sources, which)), sources, which })
    }
}

impl FileOps for SettingFile {
    fn read(&self, _: &File, to: &mut dyn Sink, at: u64) -> Result<usize> {
        self.text.read_text(to, at)
    }

    fn write(&self, _: &File, from: &mut dyn io::Source, at: u64) -> Result<usize> {
        let (text, len) = written(from, at, PIECE)?;
        self.sources.system.set(self.which, &text)?;
        Ok(len)
    }
}
