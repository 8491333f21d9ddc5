//! Processes and a machine of the imagination.

use super::super::process::{Bytes, Class, Counts, Facts, Io, LIMITS, Limit, Memory, Present, Region};
use super::super::settings::Setting;
use super::super::system::{Counter, CpuTimes, Interrupt, Label, MemoryUse, ORDERS, SlabUse, ZoneUse};
use super::super::{Process, Processes, Sources, System, make};
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::context::FsContext;
use crate::fs::cred::Credentials;
use crate::fs::devfs;
use crate::fs::fd::FdTable;
use crate::fs::flags::{MountFlags, OpenFlags};
use crate::fs::format::Text;
use crate::fs::io::Into;
use crate::fs::mount::{Mounts, Path};
use crate::fs::namei::{At, Caller, Last};
use crate::fs::refs::Ref;
use crate::fs::super_block::FsType;
use crate::fs::tests::world::{Calls, World};
use crate::fs::tmpfs;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::string::String;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

/// What is kept of a thread.
pub struct Thread {
    pub pid: u32,
    pub id: u32,
    /// Effective user and group; `None`: it has ended.
    pub owner: Option<(u32, u32)>,
    pub name: String,
    pub facts: Facts,
    pub memory: Option<Memory>,
    pub regions: Vec<Region>,
    pub present: Present,
    pub arguments: Vec<u8>,
    pub limits: [Limit; LIMITS],
    pub io: Io,
    pub files: Option<Ref<FdTable>>,
    pub context: Option<Ref<FsContext>>,
    pub exe: Option<Path>,
    pub is_closed: bool,
}

pub type Shared = Arc<Mutex<Thread>>;

#[derive(Clone)]
struct View(Shared, &'static Model);

/// All of them, by number.
pub struct Model {
    pub threads: Mutex<BTreeMap<u32, Shared>>,
    pub current: AtomicU32,
    pub world: World,
    pub settings: Mutex<BTreeMap<String, Vec<u8>>>,
}

/// A machine with a /proc.
pub fn machine() -> &'static Model {
    let model: &'static Model = Box::leak(Box::new(Model {
        threads: Mutex::default(),
        current: AtomicU32::new(1),
        world: World::new(),
        settings: Mutex::default(),
    }));
    let caller = model.world.caller();
    caller.mkdir(At::Cwd, b"/proc", 0o555).unwrap();
    let sources = Sources { processes: model, system: model };
    let block = make(&model.world.cache, sources).unwrap();
    let on = caller.resolve(At::Cwd, b"/proc", Last::Follow).unwrap();
    let root = block.root().unwrap();
    model.world.mounts.mount(block, root, b"proc", MountFlags::RELATIME, &on).unwrap();
    model
}

impl Calls for Model {
    fn caller(&self) -> Caller<'_> {
        self.world.caller()
    }
}

impl Model {
    /// A process of one thread, which has its own place and files.
    pub fn add(&self, pid: u32) -> Shared {
        self.add_thread(pid, pid)
    }

    pub fn add_thread(&self, pid: u32, id: u32) -> Shared {
        let facts = Facts {
            parent: 1,
            group: pid,
            session: 1,
            threads: 1,
            user_ns: 1_230_000_000,
            system_ns: 450_000_000,
            start_ns: 77_000_000_000,
            class: Class { policy: 0, real_time: 0, nice: 5 },
            exit_signal: 17,
            resident_limit: u64::MAX,
            umask: 0o022,
            ..Facts::default()
        };
        let thread = Arc::new(Mutex::new(Thread {
            pid,
            id,
            owner: Some((0, 0)),
            name: std::format!("task{id}"),
            facts,
            memory: Some(Memory {
                size: 1000,
                anonymous: 100,
                file: 50,
                code: 7,
                data: 200,
                stack: 33,
                ..Memory::default()
            }),
            regions: Vec::new(),
            present: Present::default(),
            arguments: b"/bin/task\0--flag\0".to_vec(),
            limits: [Limit::NONE; LIMITS],
            io: Io::default(),
            files: Some(Ref::new(FdTable::new().unwrap()).unwrap()),
            context: Some(Ref::new(FsContext::new(&self.world.root).unwrap()).unwrap()),
            exe: None,
            is_closed: false,
        }));
        self.threads.lock().unwrap().insert(id, thread.clone());
        thread
    }

    /// It ends: its number is free, and views of it say so.
    pub fn end(&self, id: u32) {
        if let Some(thread) = self.threads.lock().unwrap().remove(&id) {
            let mut thread = thread.lock().unwrap();
            thread.owner = None;
            (thread.files, thread.context, thread.exe) = (None, None, None);
        }
    }

    fn view(&'static self, thread: &Shared) -> Ref<dyn Process> {
        Ref::process(View(thread.clone(), self)).unwrap()
    }

    /// A file, in pieces of that size.
    pub fn read_in(&self, path: &str, size: usize) -> Result<Vec<u8>> {
        let file = self.open_as(path, OpenFlags::empty(), 0)?;
        let (mut whole, mut piece) = (Vec::new(), std::vec![0; size]);
        loop {
            let len = file.read(&mut Into::new(&mut piece))?;
            if len == 0 {
                return Ok(whole);
            }
            whole.extend_from_slice(&piece[..len]);
        }
    }

    /// A file of text, whole.
    pub fn whole(&self, path: &str) -> Result<String> {
        self.read_in(path, 1 << 16).map(|bytes| String::from_utf8(bytes).unwrap())
    }
}

impl Processes for Model {
    fn next(&self, from: u32) -> Option<Ref<dyn Process>> {
        // SAFETY: models are leaked, so they are there for good.
        let this: &'static Self = unsafe { &*core::ptr::from_ref(self) };
        let threads = self.threads.lock().unwrap();
        let found = threads.range(from..).find(|(id, thread)| thread.lock().unwrap().pid == **id);
        found.map(|(_, thread)| this.view(thread))
    }

    fn find(&self, id: u32) -> Option<Ref<dyn Process>> {
        // SAFETY: as above.
        let this: &'static Self = unsafe { &*core::ptr::from_ref(self) };
        self.threads.lock().unwrap().get(&id).map(|thread| this.view(thread))
    }

    fn current(&self) -> Option<(u32, u32)> {
        let id = self.current.load(Ordering::Relaxed);
        let threads = self.threads.lock().unwrap();
        threads.get(&id).map(|thread| (thread.lock().unwrap().pid, id))
    }

    fn counts(&self) -> Counts {
        let threads = self.threads.lock().unwrap().len() as u64;
        Counts { threads, running: 2, blocked: 0, last_id: 4711, ever: 9999 }
    }
}

impl View {
    fn with<R>(&self, look: impl FnOnce(&Thread) -> R) -> R {
        look(&self.0.lock().unwrap())
    }
}

impl Process for View {
    fn pid(&self) -> u32 {
        self.with(|thread| thread.pid)
    }

    fn id(&self) -> u32 {
        self.with(|thread| thread.id)
    }

    fn owner(&self) -> Option<(u32, u32)> {
        self.with(|thread| thread.owner)
    }

    fn facts(&self, _: bool) -> Option<Facts> {
        self.with(|thread| thread.owner.map(|_| thread.facts))
    }

    fn name(&self, to: &mut Text) {
        self.with(|thread| _ = to.push(thread.name.as_bytes()));
    }

    fn set_name(&self, name: &[u8]) -> Result<()> {
        self.0.lock().unwrap().name = String::from_utf8(name.to_vec()).unwrap();
        Ok(())
    }

    fn credentials(&self) -> Result<Ref<Credentials>> {
        let (uid, gid) = self.owner().ok_or(Errno::Esrch)?;
        Ref::new(Credentials { groups: std::vec![4, 20], ..Credentials::of(uid, gid) })
    }

    fn may_be_looked_into(&self) -> bool {
        self.with(|thread| !thread.is_closed)
    }

    fn next_thread(&self, from: u32) -> Option<Ref<dyn Process>> {
        let pid = self.pid();
        let threads = self.1.threads.lock().unwrap();
        let found = threads.range(from..).find(|(_, thread)| thread.lock().unwrap().pid == pid);
        found.map(|(_, thread)| self.1.view(thread))
    }

    fn root(&self) -> Result<Path> {
        self.with(|thread| thread.context.as_ref().map(|context| context.root()).ok_or(Errno::Esrch))
    }

    fn cwd(&self) -> Result<Path> {
        self.with(|thread| thread.context.as_ref().map(|context| context.cwd()).ok_or(Errno::Esrch))
    }

    fn exe(&self) -> Result<Path> {
        self.with(|thread| thread.exe.clone().ok_or(Errno::Enoent))
    }

    fn files(&self) -> Option<Ref<FdTable>> {
        self.with(|thread| thread.files.clone())
    }

    fn memory(&self) -> Option<Memory> {
        self.with(|thread| thread.memory)
    }

    fn bytes(&self, what: Bytes, at: u64, to: &mut [u8]) -> Result<usize> {
        self.with(|thread| {
            let all: &[u8] = if what == Bytes::Arguments { &thread.arguments } else { b"HOME=/\0" };
            let rest = all.get(at as usize..).unwrap_or(b"");
            let len = rest.len().min(to.len());
            to[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        })
    }

    fn region(&self, from: u64) -> Result<Option<Region>> {
        Ok(self.with(|thread| thread.regions.iter().find(|region| region.end > from).cloned()))
    }

    fn present(&self, _: &Region) -> Present {
        self.with(|thread| thread.present)
    }

    fn limits(&self) -> [Limit; LIMITS] {
        self.with(|thread| thread.limits)
    }

    fn io(&self) -> Io {
        self.with(|thread| thread.io)
    }
}

const INTERRUPTS: [Interrupt; 4] = [
    Interrupt { key: 4, label: Label::Number(4), chip: "IO-APIC-edge", name: "ttyS0" },
    Interrupt { key: 9, label: Label::Number(9), chip: "IO-APIC-fasteoi", name: "acpi" },
    Interrupt { key: 1000, label: Label::Letters("NMI"), chip: "", name: "Non-maskable interrupts" },
    Interrupt { key: 1001, label: Label::Letters("LOC"), chip: "", name: "Local timer interrupts" },
];

impl System for Model {
    fn mounts(&self) -> Option<&Mounts> {
        Some(&self.world.mounts)
    }

    fn types(&self) -> &[&'static dyn FsType] {
        static TYPES: &[&dyn FsType] = &[&tmpfs::TYPE, &devfs::TYPE, &super::super::TYPE];
        TYPES
    }

    fn command_line(&self) -> &str {
        "root=/dev/vda quiet"
    }

    fn now_ns(&self) -> u64 {
        1_234_567_890_123
    }

    fn unix_ns(&self) -> i64 {
        1_700_000_000_000_000_000
    }

    fn load(&self) -> [u64; 3] {
        [2048, 1024, 21]
    }

    fn next_cpu(&self, from: usize) -> Option<usize> {
        // CPU 2 is not in use.
        [0, 1, 3].into_iter().find(|&cpu| cpu >= from)
    }

    fn cpu_times(&self, cpu: usize) -> CpuTimes {
        let cpu = cpu as u64 + 1;
        CpuTimes {
            user: cpu * 1_000_000_000,
            system: 20_000_000,
            idle: cpu * 500_000_000,
            ..CpuTimes::default()
        }
    }

    fn describe_cpu(&self, cpu: usize, to: &mut Text) {
        use core::fmt::Write;
        let _ = writeln!(to, "processor\t: {cpu}\n");
    }

    fn next_interrupt(&self, from: u32) -> Option<Interrupt> {
        INTERRUPTS.into_iter().find(|one| one.key >= from)
    }

    fn interrupt_count(&self, key: u32, cpu: usize) -> u64 {
        u64::from(key) * 10 + cpu as u64
    }

    fn interrupt_errors(&self) -> u64 {
        3
    }

    fn switches(&self) -> u64 {
        555
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse { total: 1000, free: 600, available: 700, files: 90, shared: 10, ..MemoryUse::default() }
    }

    fn zone(&self, index: usize) -> Option<ZoneUse> {
        let zone = |name, free| ZoneUse {
            name,
            free,
            min: 1,
            low: 2,
            high: 3,
            spanned: 500,
            present: 500,
            managed: 400,
            first_frame: 1,
            blocks: core::array::from_fn::<_, ORDERS, _>(|order| order as u64),
        };
        [zone("DMA32", 100), zone("Normal", 500)].get(index).copied()
    }

    fn slab(&self, index: usize) -> Option<SlabUse> {
        let slab = |name| SlabUse {
            name,
            used: 10,
            room: 42,
            size: 96,
            per_slab: 42,
            pages_per_slab: 1,
            used_slabs: 1,
            slabs: 1,
        };
        [slab("thread"), slab("two words")].get(index).copied()
    }

    fn counter(&self, index: usize) -> Option<Counter> {
        [("pgfault", 12)].get(index).copied()
    }

    fn setting(&self, which: Setting, to: &mut Text) {
        let settings = self.settings.lock().unwrap();
        let value = settings.get(&std::format!("{which:?}"));
        let _ = to.push(value.map_or(b"value", |value| value));
    }

    fn set(&self, which: Setting, text: &[u8]) -> Result<()> {
        if text == b"nonsense" {
            return Err(Errno::Einval);
        }
        self.settings.lock().unwrap().insert(std::format!("{which:?}"), text.to_vec());
        Ok(())
    }
}
