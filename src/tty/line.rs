//! A terminal's settings as a serial line has them.
//!
//! Programs set a line by c_cflag, two speeds, and the characters of IXOFF; the driver has [`Settings`]. What a chip cannot
//! do is left as it was, and said so in the terminal's settings: who reads them back sees what he got.

use super::n_tty::Mark;
use super::options::DEFAULT_BAUD;
use super::termios::{Control, Input, Termios, cc};
use crate::drivers::serial::settings::{Character, Flags, Parity, Settings, StopStart};

/// What the line is to be, which is `now` so. Changes in `termios` what it cannot be.
pub fn settings_of(termios: &mut Termios, now: &Settings) -> Settings {
    let control = termios.control;
    let parity = match (control.contains(Control::PARENB), control.contains(Control::CMSPAR)) {
        (false, _) => Parity::None,
        (true, false) if control.contains(Control::PARODD) => Parity::Odd,
        (true, false) => Parity::Even,
        (true, true) if control.contains(Control::PARODD) => Parity::Mark,
        (true, true) => Parity::Space,
    };
    let data_bits = match control & Control::CSIZE {
        Control::CS8 => 8,
        Control::CS7 => 7,
        Control::CS6 => 6,
        _ => 5,
    };
    let flow = StopStart { stop: termios.cc[cc::VSTOP], start: termios.cc[cc::VSTART] };
    let mut settings = Settings {
        baud: termios.output_speed,
        data_bits,
        parity,
        two_stop_bits: control.contains(Control::CSTOPB),
        rts_cts: control.contains(Control::CRTSCTS),
        // The discipline does IXON.
        obeys: None,
        sends: termios.input.contains(Input::IXOFF).then_some(flow),
        receives: control.contains(Control::CREAD),
    };
    if !settings.is_possible() {
        settings.baud = if now.baud == 0 { DEFAULT_BAUD } else { now.baud };
    }
    // One clock drives both directions.
    (termios.output_speed, termios.input_speed) = (settings.baud, settings.baud);
    termios.codes_from_speeds();
    settings
}

/// What a new serial line has, at this speed: as any terminal's, without a modem (CLOCAL).
pub fn initial(baud: u32) -> Termios {
    let mut termios = Termios::standard();
    termios.control |= Control::CLOCAL;
    (termios.output_speed, termios.input_speed) = (baud, baud);
    termios.codes_from_speeds();
    termios
}

/// A character with its mark, and, where some are missing behind it, a second one that says so.
pub fn marked(character: Character) -> [Option<(u8, Mark)>; 2] {
    let Character { byte, flags } = character;
    let mark = match flags {
        flags if flags.contains(Flags::BREAK) => Mark::Break,
        flags if flags.intersects(Flags::PARITY | Flags::FRAMING) => Mark::Bad,
        _ => Mark::Good,
    };
    [Some((byte, mark)), flags.contains(Flags::OVERRUN).then_some((0, Mark::Overrun))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_settings() {
        let now = Settings::plain(9600);
        let plain = initial(9600);
        assert_eq!(settings_of(&mut plain.clone(), &now), now);
        for (flags, parity) in [
            (Control::PARENB, Parity::Even),
            (Control::PARENB | Control::PARODD, Parity::Odd),
            (Control::PARENB | Control::CMSPAR, Parity::Space),
            (Control::PARENB | Control::CMSPAR | Control::PARODD, Parity::Mark),
            (Control::PARODD, Parity::None),
        ] {
            let mut termios = plain.clone();
            termios.control |= flags;
            assert_eq!(settings_of(&mut termios, &now), Settings { parity, ..now });
        }
        for (size, data_bits) in [(Control::CS7, 7), (Control::CS6, 6), (Control::empty(), 5)] {
            let mut termios = plain.clone();
            termios.control = (termios.control - Control::CSIZE) | size | Control::CSTOPB;
            assert_eq!(settings_of(&mut termios, &now), Settings { data_bits, two_stop_bits: true, ..now });
        }
        let mut termios = plain.clone();
        termios.control = (termios.control | Control::CRTSCTS) - Control::CREAD;
        termios.input |= Input::IXOFF;
        termios.cc[cc::VSTOP] = b's';
        let sends = Some(StopStart { stop: b's', start: 0x11 });
        assert_eq!(
            settings_of(&mut termios, &now),
            Settings { rts_cts: true, sends, receives: false, ..now }
        );
    }

    #[test]
    fn a_speed_that_cannot_be_is_not() {
        let mut now = Settings::plain(19200);
        for (wanted, got) in [(115_200, 115_200), (230_400, 19200), (0, 0)] {
            let mut termios = initial(wanted);
            termios.input_speed = 300;
            assert_eq!(settings_of(&mut termios, &now).baud, got);
            assert_eq!(termios, initial(got));
        }
        now.baud = 0;
        assert_eq!(settings_of(&mut initial(4_000_000), &now).baud, DEFAULT_BAUD);
    }

    #[test]
    fn marks() {
        let of = |flags| marked(Character { byte: b'x', flags });
        assert_eq!(of(Flags::empty()), [Some((b'x', Mark::Good)), None]);
        assert_eq!(of(Flags::BREAK | Flags::FRAMING), [Some((b'x', Mark::Break)), None]);
        assert_eq!(of(Flags::PARITY | Flags::OVERRUN), [Some((b'x', Mark::Bad)), Some((0, Mark::Overrun))]);
    }
}
