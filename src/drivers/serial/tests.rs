//! The port against the chip that keeps time: nothing lost that need not be, and what must be is counted.

use super::model::{Board, CHARACTER_NS};
use super::port::{Events, Port, Room, Upper};
use super::settings::{BadSettings, Character, Flags, Lines, Parity, Settings, StopStart};
use super::uart16550::Model;
use super::uart16550::registers::LineStatus;
use crate::testing::Random;
use std::collections::VecDeque;
use std::sync::Mutex;

const US: u64 = 1000;
const MS: u64 = 1000 * US;
const XON_XOFF: StopStart = StopStart { stop: 0x13, start: 0x11 };

/// A terminal: it keeps all that comes, says when its buffer is nearly full, and has bytes to send.
struct Terminal {
    received: Mutex<Vec<Character>>,
    /// Characters that its reader has not taken yet, and the number from which on it asks for a pause.
    unread: Mutex<usize>,
    high_water: usize,
    sending: Mutex<VecDeque<u8>>,
    wants_break: bool,
}

impl Terminal {
    fn new() -> Self {
        Self {
            received: Mutex::default(),
            unread: Mutex::new(0),
            high_water: usize::MAX,
            sending: Mutex::default(),
            wants_break: false,
        }
    }

    fn send(&self, bytes: &[u8]) {
        self.sending.lock().unwrap().extend(bytes);
    }

    fn bytes(&self) -> Vec<u8> {
        self.received.lock().unwrap().iter().map(|character| character.byte).collect()
    }
}

impl Upper for Terminal {
    fn received(&self, characters: &[Character]) -> Room {
        assert!(!characters.is_empty());
        self.received.lock().unwrap().extend(characters);
        let mut unread = self.unread.lock().unwrap();
        *unread += characters.len();
        if *unread >= self.high_water { Room::Short } else { Room::Enough }
    }

    fn wants_break(&self) -> bool {
        self.wants_break
    }

    fn fill(&self, to: &mut [u8]) -> usize {
        let mut sending = self.sending.lock().unwrap();
        let len = sending.len().min(to.len());
        to.iter_mut().zip(sending.drain(..len)).for_each(|(to, byte)| *to = byte);
        len
    }

    fn notify(&self, _: Events) {}
}

/// A port that is open and served.
struct Rig<'a> {
    board: &'a Board,
    port: Port<&'a Board>,
    /// From the edge to the handler.
    latency_ns: u64,
    services: u64,
}

impl<'a> Rig<'a> {
    fn new(board: &'a Board, upper: &Terminal) -> Self {
        let mut port = Port::open(board, 115_200).expect("a UART");
        // What the probe did is over: it overran the receiver, and asked for interrupts while nobody served any.
        board.chip().forget();
        port.set_by_interrupt(true, upper);
        Self { board, port, latency_ns: 20 * US, services: 0 }
    }

    fn now(&self) -> u64 {
        self.board.chip().now
    }

    /// Lets time pass until `until`, or until nothing happens any more by itself; the CPU comes to each edge after its
    /// latency, and to nothing else.
    fn run(&mut self, upper: &Terminal, until: u64) {
        loop {
            let (edge, next) = {
                let mut chip = self.board.chip();
                let now = chip.now;
                // What has been given to the other side to send begins.
                chip.advance_to(now);
                (chip.edge_ns, chip.next_event())
            };
            let at = match (edge, next) {
                (Some(edge), _) => edge + self.latency_ns,
                (None, Some(next)) => next,
                (None, None) => until,
            };
            if at > until || (edge.is_none() && next.is_none()) {
                if until != u64::MAX {
                    self.board.chip().advance_to(until);
                }
                return;
            }
            if let Some(edge) = edge {
                // Events on the way do not move the edge: it is latched.
                self.board.chip().advance_to(edge + self.latency_ns);
                self.board.chip().edge_ns = None;
                self.services += 1;
                self.port.service(upper);
            } else {
                self.board.chip().advance_to(at);
            }
        }
    }

    /// Until nothing happens any more.
    fn settle(&mut self, upper: &Terminal) {
        self.run(upper, u64::MAX);
    }
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..len).map(|_| random.byte()).collect()
}

fn peer_sends(board: &Board, bytes: &[u8]) {
    board.chip().peer.sending.extend(bytes.iter().map(|&byte| (byte, LineStatus::empty())));
}

fn peer_heard(board: &Board) -> Vec<u8> {
    board.chip().peer.heard.iter().map(|&(_, byte)| byte).collect()
}

const ALL_MODELS: [Model; 4] = [Model::Uart8250, Model::Uart16450, Model::Uart16550, Model::Uart16550A];

#[test]
fn what_is_found_out() {
    for model in ALL_MODELS {
        let board = Board::new(model);
        let port = Port::open(&board, 115_200).expect("a UART");
        assert_eq!((port.model(), port.depth()), (model, model.depth()));
    }
    let board = Board::new(Model::Uart16550A);
    board.chip().depth = 64;
    assert_eq!(Port::open(&board, 115_200).map(|port| port.depth()), Ok(64));
}

#[test]
fn sixty_four_kib_in_at_full_speed() {
    for (model, latency) in
        [(Model::Uart16550A, 500 * US), (Model::Uart16450, 40 * US), (Model::Uart8250, 40 * US)]
    {
        let (board, upper) = (Board::new(model), Terminal::new());
        let mut rig = Rig::new(&board, &upper);
        rig.latency_ns = latency;
        let sent = noise(1, 64 << 10);
        peer_sends(&board, &sent);
        rig.settle(&upper);
        assert!(upper.bytes() == sent, "{model:?}");
        assert_eq!((board.chip().lost, rig.port.errors().overruns), (0, 0));
        // Half a FIFO at a time, and what comes while the CPU is on its way: 500 µs are six characters.
        let each = sent.len() as u64 / rig.services;
        assert!(if model == Model::Uart16550A { (12..=16).contains(&each) } else { each <= 2 }, "{each}");
    }
}

/// The trigger level is the choice between interrupts and time to come: a FIFO of 16 leaves 16 - level characters.
#[test]
fn trigger_levels_and_the_time_they_leave() {
    for (bits, level) in [(0, 1u64), (1, 4), (2, 8), (3, 14)] {
        // The last character that fits is complete when `16 - level` more have come; the next one is the overrun.
        let time = (16 - level + 1) * CHARACTER_NS;
        for (latency, fits) in [(time - 20 * US, true), (time + 20 * US, false)] {
            let (board, upper) = (Board::new(Model::Uart16550A), Terminal::new());
            let mut rig = Rig::new(&board, &upper);
            board.set_trigger(bits);
            rig.latency_ns = latency;
            let sent = noise(2, 4096);
            peer_sends(&board, &sent);
            rig.settle(&upper);
            assert_eq!(board.chip().lost == 0, fits, "level {level}, {latency} ns");
            assert_eq!(upper.bytes() == sent, fits);
        }
        // With no hurry, the level is what comes at a time.
        let (board, upper) = (Board::new(Model::Uart16550A), Terminal::new());
        let mut rig = Rig::new(&board, &upper);
        board.set_trigger(bits);
        rig.latency_ns = 0;
        peer_sends(&board, &noise(3, 1120));
        rig.settle(&upper);
        let least = 1120 / (level + 1);
        assert!(
            (least..=1120 / level + 1).contains(&rig.services),
            "level {level}: {} services",
            rig.services
        );
    }
}

#[test]
fn overruns_are_counted_and_marked_where_they_were() {
    let (board, upper) = (Board::new(Model::Uart16550A), Terminal::new());
    let mut rig = Rig::new(&board, &upper);
    rig.latency_ns = 3 * MS;
    let sent = noise(4, 2000);
    peer_sends(&board, &sent);
    rig.settle(&upper);
    let got = upper.received.lock().unwrap().clone();
    let lost = board.chip().lost;
    assert!(lost > 500 && got.len() as u64 + lost == 2000, "{lost}");
    let marks = got.iter().filter(|character| character.flags == Flags::OVERRUN).count();
    assert!(marks > 0 && marks as u32 == rig.port.errors().overruns);
    assert!(got.iter().all(|character| !character.is_bad()));
    // What is between two gaps is whole: 16 characters of the FIFO and those that came while it was read.
    let bytes = upper.bytes();
    let (mut from, mut at) = (0, 0);
    while at < bytes.len() {
        let run = (at..bytes.len()).take_while(|&i| sent.get(from + i - at) == Some(&bytes[i])).count();
        if run == 0 {
            from += 1;
        } else {
            (from, at) = (from + run, at + run);
        }
        assert!(from <= sent.len(), "in order");
    }
}

#[test]
fn characters_that_are_damaged_come_with_what_is_wrong() {
    for model in [Model::Uart16450, Model::Uart16550A] {
        let (board, upper) = (Board::new(model), Terminal::new());
        let mut rig = Rig::new(&board, &upper);
        let sent = [
            (b'a', LineStatus::empty(), Flags::empty()),
            (b'b', LineStatus::PARITY, Flags::PARITY),
            (b'c', LineStatus::FRAMING, Flags::FRAMING),
            (0, LineStatus::BREAK | LineStatus::FRAMING, Flags::BREAK),
            (b'd', LineStatus::PARITY | LineStatus::FRAMING, Flags::PARITY.union(Flags::FRAMING)),
            (b'e', LineStatus::empty(), Flags::empty()),
        ];
        board.chip().peer.sending.extend(sent.map(|(byte, errors, _)| (byte, errors)));
        // The log writes meanwhile, which reads the line status as well.
        for _ in 0..50 {
            rig.port.write_some(b"-", &upper, &mut Events::empty());
            let until = rig.now() + 10 * US;
            rig.run(&upper, until);
        }
        rig.settle(&upper);
        let wanted: Vec<_> = sent.iter().map(|&(byte, _, flags)| Character { byte, flags }).collect();
        assert_eq!(*upper.received.lock().unwrap(), wanted);
        let errors = rig.port.errors();
        assert_eq!((errors.parity_errors, errors.framing_errors, errors.breaks), (2, 2, 1));
    }
}

#[test]
fn sixty_four_kib_out_and_the_line_never_rests() {
    for model in ALL_MODELS {
        for silent_enable in [false, true] {
            let (board, upper) = (Board::new(model), Terminal::new());
            let mut rig = Rig::new(&board, &upper);
            board.chip().silent_enable = silent_enable;
            let sent = noise(5, 64 << 10);
            upper.send(&sent);
            rig.port.start_tx(&upper);
            rig.settle(&upper);
            assert!(peer_heard(&board) == sent, "{model:?}");
            assert!(!board.chip().overfilled);
            let depth = u64::from(model.depth());
            let services = sent.len() as u64 / depth;
            assert!((services - 2..=services + 2).contains(&rig.services), "{} services", rig.services);
            // Each filling costs the latency at most, and the holding register's one character hides it without a FIFO.
            let heard = board.chip().peer.heard.clone();
            let gap = heard.windows(2).map(|pair| pair[1].0 - pair[0].0 - CHARACTER_NS).max().unwrap();
            assert!(gap <= rig.latency_ns + 10 * US, "{gap}");
            assert!(rig.port.is_idle());
        }
    }
}

/// Bytes one by one, each when the last has just left, or is about to: the moment at which an interrupt is lost.
#[test]
fn no_transmitter_interrupt_is_lost_or_asked_for_in_vain() {
    for silent_enable in [false, true] {
        for gap in (0..300).map(|n| n * US) {
            let (board, upper) = (Board::new(Model::Uart16550A), Terminal::new());
            let mut rig = Rig::new(&board, &upper);
            board.chip().silent_enable = silent_enable;
            for n in 0..20 {
                upper.send(&[n, b'.']);
                rig.port.start_tx(&upper);
                let until = rig.now() + gap;
                rig.run(&upper, until);
            }
            rig.settle(&upper);
            let wanted: Vec<u8> = (0..20).flat_map(|n| [n, b'.']).collect();
            assert_eq!(peer_heard(&board), wanted, "gap {gap}");
            assert!(upper.sending.lock().unwrap().is_empty());
        }
    }
    // The FIFO runs empty between the look at it and the asking for an interrupt.
    for gap in (60_000..120_000).step_by(100) {
        let (board, upper) = (Board::new(Model::Uart16550A), Terminal::new());
        let mut rig = Rig::new(&board, &upper);
        board.chip().silent_enable = true;
        for text in [b"ab", b"cd"] {
            upper.send(text);
            rig.port.start_tx(&upper);
            let until = rig.now() + gap;
            rig.run(&upper, until);
        }
        rig.settle(&upper);
        assert_eq!(peer_heard(&board), b"abcd", "gap {gap} ns");
    }
    // An echo that finds the transmitter empty needs no interrupt.
    let (board, upper) = (Board::new(Model::Uart16550A), Terminal::new());
    let mut rig = Rig::new(&board, &upper);
    for byte in b"echo" {
        upper.send(&[*byte]);
        rig.port.start_tx(&upper);
        rig.settle(&upper);
    }
    assert_eq!((peer_heard(&board), rig.services), (b"echo".to_vec(), 0));
}

/// Everything at once, with every latency: the line rises for one reason, others join it, and none is left standing.
#[test]
fn both_directions_at_random() {
    let mut random = Random::new(6);
    for round in 0..60 {
        let model = random.pick(&[Model::Uart16450, Model::Uart16550A]);
        let (board, upper) = (Board::new(model), Terminal::new());
        let mut rig = Rig::new(&board, &upper);
        board.chip().silent_enable = round % 3 == 0;
        let (mut out, mut back) = (vec![], vec![]);
        for _ in 0..200 {
            rig.latency_ns = random.below(if model == Model::Uart16450 { 40 } else { 500 }) * US;
            match random.below(4) {
                0 => {
                    let bytes = noise(random.next_u64(), random.index(60));
                    upper.send(&bytes);
                    out.extend(&bytes);
                    rig.port.start_tx(&upper);
                }
                1 => {
                    let bytes = noise(random.next_u64(), random.index(60));
                    peer_sends(&board, &bytes);
                    back.extend(&bytes);
                }
                2 => board.chip().set_carrier(random.below(2) == 0),
                _ => {}
            }
            let until = rig.now() + random.below(3000) * US;
            rig.run(&upper, until);
        }
        rig.settle(&upper);
        assert!(peer_heard(&board) == out && upper.bytes() == back, "round {round}");
        assert_eq!(board.chip().lost, 0);
    }
}

#[test]
fn rts_stops_the_other_side_and_cts_stops_this_one() {
    let (board, mut upper) = (Board::new(Model::Uart16550A), Terminal::new());
    upper.high_water = 200;
    let mut rig = Rig::new(&board, &upper);
    rig.latency_ns = 300 * US;
    let settings = Settings { rts_cts: true, ..Settings::plain(115_200) };
    rig.port.set_settings(settings, &upper).unwrap();
    (board.chip().peer.obeys_rts, board.chip().peer.slack) = (true, 2);
    let sent = noise(7, 20_000);
    peer_sends(&board, &sent);
    let mut most = 0;
    for _ in 0..2000 {
        if upper.received.lock().unwrap().len() == sent.len() {
            break;
        }
        // The reader comes by now and then and takes all.
        let until = rig.now() + 50 * MS;
        rig.run(&upper, until);
        most = most.max(*upper.unread.lock().unwrap());
        *upper.unread.lock().unwrap() = 0;
        rig.port.unthrottle(&upper);
    }
    assert!(upper.bytes() == sent);
    assert!((200..232).contains(&most), "no more than the FIFO and what was under way: {most}");
    assert_eq!(board.chip().lost, 0);

    // CTS falls in the middle: what is in the FIFO goes out, and no more until it rises.
    let sent = noise(8, 4000);
    upper.send(&sent);
    rig.port.start_tx(&upper);
    for _ in 0..20 {
        let until = rig.now() + 7 * MS;
        rig.run(&upper, until);
        board.chip().set_cts(false);
        let before = board.chip().peer.heard.len();
        let until = rig.now() + 100 * MS;
        rig.run(&upper, until);
        let after = board.chip().peer.heard.len();
        assert!(after - before <= 17 + 4, "{}", after - before);
        board.chip().set_cts(true);
    }
    rig.settle(&upper);
    assert!(peer_heard(&board) == sent);
    // Without the setting CTS is nobody's business.
    rig.port.set_settings(Settings::plain(115_200), &upper).unwrap();
    board.chip().set_cts(false);
    upper.send(b"!");
    rig.port.start_tx(&upper);
    rig.settle(&upper);
    assert_eq!(peer_heard(&board).last(), Some(&b'!'));
}

#[test]
fn a_reader_that_stalls_is_waited_for_by_xoff() {
    let (board, mut upper) = (Board::new(Model::Uart16550A), Terminal::new());
    upper.high_water = 1024;
    let mut rig = Rig::new(&board, &upper);
    let settings = Settings { sends: Some(XON_XOFF), ..Settings::plain(115_200) };
    rig.port.set_settings(settings, &upper).unwrap();
    (board.chip().peer.obeys, board.chip().peer.slack) = (Some(XON_XOFF), 16);
    let sent = noise(9, 64 << 10);
    peer_sends(&board, &sent);
    // Both directions are busy: the stop character passes by what is queued.
    let echo = vec![b'e'; 64 << 10];
    upper.send(&echo);
    rig.port.start_tx(&upper);
    let mut most = 0;
    for _ in 0..2000 {
        if upper.received.lock().unwrap().len() == sent.len() {
            break;
        }
        let until = rig.now() + 500 * MS;
        rig.run(&upper, until);
        most = most.max(*upper.unread.lock().unwrap());
        *upper.unread.lock().unwrap() = 0;
        rig.port.unthrottle(&upper);
    }
    rig.settle(&upper);
    assert!(upper.bytes() == sent && peer_heard(&board) == echo);
    assert!(board.chip().peer.stops > 50, "{} stops", board.chip().peer.stops);
    assert!((1024..1024 + 80).contains(&most), "{most}");
}

#[test]
fn a_stop_character_that_is_obeyed_stops_at_once() {
    let (board, upper) = (Board::new(Model::Uart16550A), Terminal::new());
    let mut rig = Rig::new(&board, &upper);
    let settings = Settings { obeys: Some(XON_XOFF), ..Settings::plain(115_200) };
    rig.port.set_settings(settings, &upper).unwrap();
    let sent = noise(10, 3000);
    upper.send(&sent);
    rig.port.start_tx(&upper);
    for _ in 0..10 {
        let until = rig.now() + 10 * MS;
        rig.run(&upper, until);
        peer_sends(&board, b"x\x13y");
        let until = rig.now() + 3 * MS;
        rig.run(&upper, until);
        let before = board.chip().peer.heard.len();
        let until = rig.now() + 100 * MS;
        rig.run(&upper, until);
        assert!(board.chip().peer.heard.len() - before <= 16);
        peer_sends(&board, b"\x11");
    }
    rig.settle(&upper);
    assert!(peer_heard(&board) == sent);
    assert_eq!(upper.bytes(), b"xy".repeat(10), "the two are not passed on");
    // A damaged one is no stop character.
    upper.send(b"abc");
    board.chip().peer.sending.push_back((0x13, LineStatus::PARITY));
    rig.settle(&upper);
    rig.port.start_tx(&upper);
    rig.settle(&upper);
    assert!(peer_heard(&board).ends_with(b"abc"));
    // Turning it off lets go of what had been stopped.
    peer_sends(&board, b"\x13");
    rig.settle(&upper);
    upper.send(b"def");
    rig.port.start_tx(&upper);
    rig.settle(&upper);
    assert!(peer_heard(&board).ends_with(b"abc"));
    rig.port.set_settings(Settings::plain(115_200), &upper).unwrap();
    rig.settle(&upper);
    assert!(peer_heard(&board).ends_with(b"def"));
}

/// Log lines in the middle of the terminal's output: each is whole, behind what was written before it and before what was
/// written after it.
#[test]
fn lines_of_the_log_keep_their_place() {
    let mut random = Random::new(11);
    for model in [Model::Uart16450, Model::Uart16550A] {
        let (board, upper) = (Board::new(model), Terminal::new());
        let mut rig = Rig::new(&board, &upper);
        let mut written = vec![];
        for n in 0..200 {
            let text = format!("<{n}:{}>", "t".repeat(random.index(60))).into_bytes();
            written.extend(&text);
            if random.below(3) > 0 {
                upper.send(&text);
                rig.port.start_tx(&upper);
            } else {
                rig.port.hold();
                while rig.port.push(true, &upper, &mut Events::empty()) {}
                let mut rest = &text[..];
                let mut has_written = false;
                while !rest.is_empty() {
                    rest = &rest[rig.port.write_some(rest, &upper, &mut Events::empty())..];
                    // The lock is free in between, and interrupts come; a terminal may write, too.
                    let until = rig.now() + random.below(200) * US;
                    rig.run(&upper, until);
                    if !has_written && rest.len() <= text.len() / 2 {
                        has_written = true;
                        upper.send(b"~");
                        written.push(b'~');
                        rig.port.start_tx(&upper);
                    }
                }
                rig.port.release(&upper);
            }
            let until = rig.now() + random.below(4000) * US;
            rig.run(&upper, until);
        }
        rig.settle(&upper);
        assert!(peer_heard(&board) == written, "{model:?}");
        assert!(!board.chip().overfilled);
    }
    // A terminal that is stopped keeps its bytes, and the log does not wait for it.
    let (board, upper) = (Board::new(Model::Uart16550A), Terminal::new());
    let mut rig = Rig::new(&board, &upper);
    rig.port.set_stopped(true, &upper);
    upper.send(b"later");
    rig.port.start_tx(&upper);
    rig.port.hold();
    assert!(!rig.port.push(true, &upper, &mut Events::empty()));
    rig.port.write_some(b"now ", &upper, &mut Events::empty());
    rig.port.release(&upper);
    rig.settle(&upper);
    assert_eq!(peer_heard(&board), b"now ");
    rig.port.set_stopped(false, &upper);
    rig.settle(&upper);
    assert_eq!(peer_heard(&board), b"now later");
}

/// Without an interrupt a timer does it: every 500 µs are six characters, and none is lost; every 2 ms are too many.
#[test]
fn polled_by_a_timer() {
    for (period, fits) in [(500 * US, true), (1300 * US, true), (2 * MS, false)] {
        let (board, upper) = (Board::new(Model::Uart16550A), Terminal::new());
        let mut port = Port::open(&board, 115_200).expect("a UART");
        board.chip().forget();
        port.set_by_interrupt(false, &upper);
        let (back, out) = (noise(12, 5000), noise(13, 3000));
        peer_sends(&board, &back);
        upper.send(&out);
        port.start_tx(&upper);
        for _ in 0..1_500 * MS / period {
            let now = board.chip().now;
            board.chip().advance_to(now + period);
            port.poll(&upper);
        }
        assert_eq!(upper.bytes() == back, fits, "{period}");
        assert!(peer_heard(&board) == out);
        assert_eq!(board.chip().edges, 0, "it never interrupts");
    }
}

/// A sender that is faster than the handler does not keep it for ever, and the line gets its edge all the same.
#[test]
fn a_service_that_is_cut_short_leaves_an_edge_behind() {
    let (board, upper) = (Board::new(Model::Uart16550A), Terminal::new());
    let mut rig = Rig::new(&board, &upper);
    // Thirty accesses of 1 µs a character, against 0.3 µs that one takes: as QEMU's does.
    board.chip().fast = true;
    let sent = noise(14, 100_000);
    peer_sends(&board, &sent);
    rig.settle(&upper);
    assert!(rig.port.counts().long_services > 10);
    assert_eq!(board.chip().lost + upper.bytes().len() as u64, 100_000);
    assert!(upper.bytes().len() > 10_000);
    assert_eq!(board.chip().edge_ns, None);
}

#[test]
fn settings_lines_and_breaks() {
    let (board, upper) = (Board::new(Model::Uart16550A), Terminal::new());
    let mut rig = Rig::new(&board, &upper);
    let slow = Settings { parity: Parity::Even, data_bits: 7, ..Settings::plain(1200) };
    upper.send(b"fast");
    rig.port.start_tx(&upper);
    rig.port.set_settings(slow, &upper).unwrap();
    upper.send(b"slow");
    rig.port.start_tx(&upper);
    rig.settle(&upper);
    assert_eq!(peer_heard(&board), b"fastslow");
    let heard = board.chip().peer.heard.clone();
    let time = |at: usize| heard[at + 1].0 - heard[at].0;
    assert_eq!(
        (time(1), time(5)),
        (CHARACTER_NS, 96 * CHARACTER_NS),
        "what was in the chip went at its own speed"
    );
    for bad in [Settings { data_bits: 9, ..slow }, Settings { baud: 1_000_000, ..slow }] {
        assert_eq!(rig.port.set_settings(bad, &upper), Err(BadSettings));
    }
    assert_eq!(rig.port.settings(), slow);

    let (lines, _) = rig.port.lines();
    assert_eq!(lines, Lines::DTR | Lines::RTS | Lines::CTS | Lines::DSR | Lines::DCD);
    rig.port.set_lines(Lines::RTS | Lines::CTS, Lines::empty());
    assert_eq!(rig.port.lines().0, Lines::DTR | Lines::CTS | Lines::DSR | Lines::DCD, "inputs stay");
    // Carrier goes: by interrupt.
    board.chip().set_carrier(false);
    let before = rig.services;
    rig.settle(&upper);
    assert_eq!(rig.services, before + 1);
    // Speed 0 hangs up, and the next one raises the lines again.
    rig.port.set_settings(Settings { baud: 0, ..slow }, &upper).unwrap();
    assert!(!rig.port.lines().0.intersects(Lines::DTR | Lines::RTS));
    rig.port.set_settings(slow, &upper).unwrap();
    assert!(rig.port.lines().0.contains(Lines::DTR | Lines::RTS));
    // Who does not listen hears nothing.
    rig.port.set_settings(Settings { receives: false, ..slow }, &upper).unwrap();
    peer_sends(&board, b"unheard");
    rig.settle(&upper);
    assert_eq!(upper.bytes(), b"");
    // Unless it waits for a break.
    for (wants_break, expected) in [(false, 0), (true, 1)] {
        let upper = Terminal { wants_break, ..Terminal::new() };
        let sent = [(b'x', LineStatus::empty()), (0, LineStatus::BREAK | LineStatus::FRAMING)];
        board.chip().peer.sending.extend(sent);
        rig.settle(&upper);
        let received = upper.received.lock().unwrap();
        assert_eq!((received.len(), received.iter().all(Character::is_break)), (expected, true));
    }
    rig.port.set_break(true);
    assert_eq!(board.line_control() & 0x40, 0x40);
    rig.port.set_break(false);
    assert_eq!(board.line_control(), 0b1_1010);
}

#[test]
fn a_port_that_vanishes_is_quiet() {
    struct Gone;
    impl crate::platform::SerialRegisters for Gone {
        fn read(&self, _: u8) -> u8 {
            0xFF
        }
        fn write(&self, _: u8, _: u8) {}
    }
    assert!(Port::open(Gone, 115_200).is_err());
    let (board, upper) = (Board::new(Model::Uart16550A), Terminal::new());
    let mut rig = Rig::new(&board, &upper);
    board.chip().gone = true;
    upper.send(b"x");
    rig.port.start_tx(&upper);
    assert_eq!(rig.port.service(&upper), Events::empty());
    rig.port.poll(&upper);
    assert_eq!(upper.bytes(), b"");
}
