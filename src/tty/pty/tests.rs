//! Pairs and job control against a recording of Linux's, case by case; and how full queues hold writers up.

use super::*;
use crate::tty::ioctl;
use crate::tty::job::Signal;
use crate::tty::job::model::Model;
use crate::tty::n_tty::tests::termios_line;
use crate::tty::recorded::{Case, apply, bytes, cases, show};
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

const ID: TtyId = TtyId(0x8800);

/// A pair in a case, and the processes that have it open.
struct Player {
    pty: Pty,
    model: Model,
    slave: Option<Opened>,
    master: bool,
    /// Names and numbers of processes.
    names: BTreeMap<String, u32>,
    reading: Option<(Reading, Vec<u8>)>,
    /// What comes out stays with the master.
    held: bool,
}

fn error(error: Error) -> &'static str {
    match error {
        Error::NotPermitted => "EPERM",
        Error::NoGroup => "ESRCH",
        Error::Restart => "EINTR",
        Error::Io => "EIO",
        Error::Again => "EAGAIN",
        Error::NoMemory => "ENOMEM",
        Error::Fault => "EFAULT",
        Error::Busy => "EBUSY",
        Error::Invalid => "EINVAL",
        Error::NotTty => "ENOTTY",
    }
}

fn signal(signal: Signal) -> String {
    format!("{signal:?}").to_uppercase()
}

fn poll(poll: Poll) -> String {
    let names = [(Poll::IN, "in"), (Poll::OUT, "out"), (Poll::ERR, "err"), (Poll::HUP, "hup")];
    let names: Vec<&str> =
        names.iter().filter(|(flag, _)| poll.contains(*flag)).map(|(_, name)| *name).collect();
    format!("poll {}", names.join(" ")).trim_end().into()
}

/// What a step that gives no answer shows.
fn done<T>(what: &str, result: Result<T, Error>) -> Vec<String> {
    result.err().map(|problem| format!("{what} {}", error(problem))).into_iter().collect()
}

impl Player {
    fn new(bare: bool) -> Self {
        let model = Model::default();
        model.add_leader(1);
        model.run(1);
        let mut player = Self {
            pty: Pty::new(0, ID).expect("memory"),
            model,
            slave: None,
            master: true,
            names: BTreeMap::from([("R".to_string(), 1)]),
            reading: None,
            held: false,
        };
        if !bare {
            player.order(true, 0x4004_5431, 0, &[0; 4]).expect("unlocking");
            assert!(player.open(false).is_empty());
            player.order(false, 0x540e, 0, &[]).expect("controlling");
        }
        player
    }

    fn open(&mut self, controls: bool) -> Vec<String> {
        let result = self.pty.open_slave(true, controls, &self.model);
        if let Ok(file) = result {
            self.slave = Some(file);
        }
        // Without its master it has no name under /dev/pts any more.
        if !self.master { vec!["open ENOENT".into()] } else { done("open", result) }
    }

    fn order(&mut self, master: bool, number: u32, value: u64, data: &[u8]) -> Result<Answer, Error> {
        let (command, argument) = ioctl::find(number).expect("an order");
        let answer = {
            let order = Order { command, value, data };
            match master {
                true => self.pty.master_order(&order, &self.model),
                false => self.pty.slave_order(&self.slave.expect("open"), &order, &self.model),
            }
        }?;
        let size = if let ioctl::Argument::Out(size) = argument { size } else { 0 };
        assert_eq!(answer.bytes().len(), size, "{:?}", ioctl::name(number));
        Ok(answer)
    }

    fn number(&mut self, what: &str, master: bool, order: u32) -> Vec<String> {
        let found = self.order(master, order, 0, &[]);
        let names = &self.names;
        vec![match found {
            Err(problem) => format!("{what} {}", error(problem)),
            Ok(answer) => {
                let number = u32::from_le_bytes(answer.bytes().try_into().expect("four"));
                let name = names.iter().find(|(_, id)| **id == number && matches!(what, "pgrp" | "sid"));
                format!("{what} {}", name.map_or(number.to_string(), |(name, _)| name.clone()))
            }
        }]
    }

    fn read(&mut self, size: usize) -> Vec<String> {
        let file = self.slave.expect("open");
        let mut buffer = vec![0; size];
        let result = self.pty.may_read(&file, &self.model).and_then(|lives| {
            if !lives {
                return Ok(0);
            }
            let mut reading = self.pty.begin_read(0);
            match self.pty.read(&file, &mut reading, &mut buffer, 0, &self.model)? {
                Step::Wait { .. } if reading.got == 0 => Err(Error::Again),
                _ => Ok(reading.got),
            }
        });
        vec![result.map_or_else(
            |problem| format!("read {}", error(problem)),
            |got| format!("read {}", show(&buffer[..got])),
        )]
    }

    fn set(&mut self, master: bool, rest: &str) -> Vec<String> {
        let old = match self.order(master, 0x5401, 0, &[]) {
            Ok(answer) => answer,
            Err(problem) => return vec![format!("set {}", error(problem))],
        };
        let mut settings = Termios::standard().with_termios(old.bytes().try_into().expect("a termios"));
        apply(&mut settings, rest);
        let bytes = settings.to_termios();
        done("set", self.order(master, 0x5402, 0, &bytes))
    }

    fn id(&self, name: &str) -> i32 {
        self.names.get(name).map_or_else(|| name.parse().expect("a number"), |&id| id as i32)
    }

    fn step(&mut self, verb: &str, rest: &str) -> Vec<String> {
        let master = rest == "master" || verb.starts_with('m') && verb != "modem";
        let which = ["in", "out", "both"].iter().position(|&name| name == rest).unwrap_or(0) as u64;
        match verb {
            "hold" => self.held = true,
            "type" => return done("typed", self.pty.master_write(&bytes(rest), &self.model)),
            "write" => {
                let file = self.slave.expect("open");
                let may = self.pty.may_write(&file, &self.model);
                return done(
                    "wrote",
                    may.and_then(|()| self.pty.slave_write(&file, &bytes(rest), &self.model)),
                );
            }
            "vhangup" if self.model.terminal() == Some(ID) => self.pty.hang_up(&self.model),
            "vhangup" => {}
            "read" => return self.read(rest.parse().expect("a size")),
            "begin" => {
                let file = self.slave.expect("open");
                let mut reading = self.pty.begin_read(0);
                let mut buffer = vec![0; rest.parse().expect("a size")];
                let step = self.pty.read(&file, &mut reading, &mut buffer, 0, &self.model);
                assert!(matches!(step, Ok(Step::Wait { .. })));
                self.reading = Some((reading, buffer));
            }
            "end" => {
                let (file, (mut reading, mut buffer)) =
                    (self.slave.expect("open"), self.reading.take().expect("reading"));
                return match self.pty.read(&file, &mut reading, &mut buffer, 0, &self.model) {
                    Ok(_) => vec![format!("read {}", show(&buffer[..reading.got]))],
                    Err(problem) => vec![format!("read {}", error(problem))],
                };
            }
            "mread" => {
                let mut buffer = vec![0; rest.parse().expect("a size")];
                let result = self.pty.master_read(&mut buffer, &self.model);
                let text =
                    result.map_or_else(|problem| error(problem).into(), |count| show(&buffer[..count]));
                return vec![format!("mread {text}")];
            }
            "set" | "mset" => return self.set(master, rest),
            "termios" => {
                return vec![match self.order(master, 0x5401, 0, &[]) {
                    Ok(answer) => {
                        let bytes = answer.bytes().try_into().expect("a termios");
                        termios_line(&Termios::standard().with_termios(bytes))
                    }
                    Err(problem) => format!("termios {}", error(problem)),
                }];
            }
            "getwin" => {
                return vec![match self.order(master, 0x5413, 0, &[]) {
                    Ok(answer) => {
                        let bytes = answer.bytes();
                        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
                        format!("win {} {}", half(0), half(2))
                    }
                    Err(problem) => format!("win {}", error(problem)),
                }];
            }
            "win" | "mwin" => {
                let (rows, columns) = rest.split_once(' ').expect("two");
                let numbers: [u16; 4] =
                    [rows.parse().expect("rows"), columns.parse().expect("columns"), 0, 0];
                let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                return done("win", self.order(master, 0x5414, 0, &data));
            }
            "poll" => return vec![poll(self.pty.slave_poll(&self.slave.expect("open")))],
            "mpoll" => return vec![poll(self.pty.master_poll())],
            "inq" | "minq" => return self.number("inq", master, 0x541b),
            "outq" => return self.number("outq", false, 0x5411),
            "modem" => return self.number("modem", false, 0x5415),
            "break" => return done("break", self.order(false, 0x5409, rest.parse().expect("a number"), &[])),
            "flush" | "mflush" => return done("flush", self.order(master, 0x540b, which, &[])),
            "flow" => {
                let which =
                    ["ooff", "oon", "ioff", "ion"].iter().position(|&name| name == rest).expect("a way");
                return done("flow", self.order(false, 0x540a, which as u64, &[]));
            }
            "excl" => return done("excl", self.order(false, 0x540c, 0, &[])),
            "nxcl" => return done("nxcl", self.order(false, 0x540d, 0, &[])),
            "lock" => {
                let data = rest.parse::<i32>().expect("a number").to_le_bytes();
                return done("lock", self.order(true, 0x4004_5431, 0, &data));
            }
            "close" if rest == "slave" => {
                self.pty.close_slave();
                self.slave = None;
            }
            "close" => {
                // Others who have it from their parent have been told to close it before.
                self.pty.close_master(&self.model);
                self.master = false;
            }
            "open" => return self.open(rest == "ctty"),
            "sctty" => return done("sctty", self.order(false, 0x540e, rest.parse().unwrap_or(0), &[])),
            "notty" => return done("notty", self.order(false, 0x5422, 0, &[])),
            "spgrp" | "mspgrp" => {
                let group = self.id(rest).to_le_bytes();
                return done("spgrp", self.order(master, 0x5410, 0, &group));
            }
            "gpgrp" => return self.number("pgrp", master, 0x540f),
            "gsid" => return self.number("sid", master, 0x5429),
            "devtty" => {
                let has = self.model.terminal().is_some();
                return vec![format!("devtty {}", if has { "yes" } else { "ENXIO" })];
            }
            "fork" => {
                let (parent, child) = (self.model.caller(|caller| caller.id), self.names.len() as u32 + 1);
                self.names.insert(rest.to_string(), child);
                self.model.fork(parent, child);
            }
            "setsid" => self.model.caller(|caller| {
                (caller.group, caller.session, caller.terminal) = (caller.id, caller.id, None);
            }),
            "setpgid" => {
                let group = if rest.is_empty() { None } else { Some(self.id(rest) as u32) };
                self.model.caller(|caller| caller.group = group.unwrap_or(caller.id));
            }
            "orphan" => self.model.caller(|caller| caller.parent = None),
            "on" => {
                let (name, what) = rest.split_once(' ').expect("two");
                let signal = if name == "TTIN" { Signal::Ttin } else { Signal::Ttou };
                self.model.caller(|caller| caller.deaf_to.retain(|&other| other != signal));
                if what != "catch" {
                    self.model.caller(|caller| caller.deaf_to.push(signal));
                }
            }
            _ => panic!("no step {verb}"),
        }
        Vec::new()
    }

    /// A step by `who`, and what is seen: his own signals come with it if he is not R, what comes out, and the others'.
    fn play(&mut self, who: &str, verb: &str, rest: &str) -> Vec<String> {
        let id = self.names[who];
        self.model.run(id);
        let mut seen = if who != "R" && (verb, rest) == ("close", "master") {
            Vec::new()
        } else {
            self.step(verb, rest)
        };
        let shown = |id: u32, before: &str| -> Vec<String> {
            let got = self.model.take_signals(id);
            got.into_iter().map(|name| format!("{before}sig {}", signal(name))).collect()
        };
        if who != "R" {
            seen.extend(shown(id, ""));
        }
        let signals: Vec<String> = [("R".to_string(), 1)]
            .into_iter()
            .chain(self.names.clone().into_iter().filter(|(name, _)| name != "R"))
            .flat_map(|(name, id)| shown(id, &if name == "R" { String::new() } else { format!("{name}: ") }))
            .collect();
        let mut out = vec![0; 2 * QUEUE];
        let fetched = if self.held || !self.master {
            0
        } else {
            self.pty.master_read(&mut out, &self.model).unwrap_or(0)
        };
        if fetched > 0 {
            seen.push(format!("out {}", show(&out[..fetched])));
        }
        seen.extend(signals);
        seen
    }
}

fn play(case: &Case<'_>) -> Option<String> {
    let mut player = Player::new(case.name.ends_with("bare"));
    for (at, step) in case.steps.iter().enumerate() {
        let found = player.play(step.who, step.verb, step.rest);
        if found != step.seen {
            let at = at + 1;
            let (name, who, verb, rest) = (case.name, step.who, step.verb, step.rest);
            return Some(format!(
                "[{name} step {at}: {who}: {verb} {rest}\n  Linux: {:?}\n  here:  {found:?}\n",
                step.seen
            ));
        }
    }
    None
}

#[test]
fn as_recorded_on_linux() {
    let all = cases(include_str!("../../../test/data/tty/pty.recorded"));
    assert!(all.len() >= 40, "only {} cases", all.len());
    let different: Vec<String> = all.iter().filter_map(play).collect();
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), all.len(), different.concat());
}

/// Bytes that nobody fetches stop a writer on either side, and go on in order when somebody does.
#[test]
fn full_queues_stop_writers() {
    let mut player = Player::new(false);
    apply_raw(&mut player);
    let (model, pty) = (&player.model, &mut player.pty);
    let file = player.slave.expect("open");
    let data: Vec<u8> = (0..40_000u32).map(|at| (at % 251) as u8).collect();
    let mut buffer = vec![0; 1000];
    for to_master in [true, false] {
        let (mut sent, mut got) = (0, Vec::new());
        let mut waits = 0;
        while got.len() < data.len() {
            let written = match to_master {
                true => pty.slave_write(&file, &data[sent..], model),
                false => pty.master_write(&data[sent..], model),
            };
            match written {
                Ok(count) => sent += count,
                Err(problem) => {
                    assert_eq!(problem, Error::Again);
                    waits += 1;
                    let poll = if to_master { pty.slave_poll(&file) } else { pty.master_poll() };
                    assert!(!poll.contains(Poll::OUT));
                    let count = match to_master {
                        true => pty.master_read(&mut buffer, model).expect("bytes"),
                        false => {
                            let mut reading = pty.begin_read(0);
                            pty.read(&file, &mut reading, &mut buffer, 0, model).expect("bytes");
                            reading.got
                        }
                    };
                    got.extend_from_slice(&buffer[..count]);
                    assert!(pty.take_wake().contains(if to_master {
                        Wake::SLAVE_WRITERS
                    } else {
                        Wake::MASTER_WRITERS
                    }));
                }
            }
            if sent == data.len() {
                let rest = match to_master {
                    true => pty.master_read(&mut buffer, model).unwrap_or(0),
                    false => {
                        let mut reading = pty.begin_read(0);
                        pty.read(&file, &mut reading, &mut buffer, 0, model).expect("bytes");
                        reading.got
                    }
                };
                got.extend_from_slice(&buffer[..rest]);
            }
        }
        assert!(waits > 10);
        assert!(got == data, "to_master {to_master}");
    }
}

fn apply_raw(player: &mut Player) {
    assert!(player.set(false, "raw").is_empty());
}

/// A leader's end frees the terminal, and the group in the foreground hears of it; without SIGCONT, unlike TIOCNOTTY.
#[test]
fn the_leader_exits() {
    let mut player = Player::new(false);
    player.play("R", "fork", "B");
    player.play("B", "setpgid", "");
    player.play("R", "spgrp", "B");
    player.model.run(1);
    player.pty.leader_exits(&player.model);
    assert_eq!(player.model.take_signals(2), [Signal::Hup]);
    assert_eq!(player.pty.terminal.control.session(Side::Master, &player.model), Err(Error::NotTty));
    player.model.run(2);
    assert_eq!(player.model.terminal(), None);
}
