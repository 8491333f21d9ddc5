//! Speeds of lines: the codes in c_cflag, and what they are in baud.
//!
//! The code is five bits in two places, CBAUD. 0 hangs up. Code [`BOTHER`] says that the number itself stands in
//! termios2; that is how any speed is set at all that has no name.

use super::{Control, Termios};

/// The speed is the number in c_ospeed.
pub const BOTHER: u32 = 0o10000;
pub const B38400: u32 = 0o17;
pub const B115200: u32 = 0o10002;

/// CIBAUD is CBAUD, so far to the left.
const INPUT_SHIFT: u32 = 16;

/// Codes 0 to 15.
const LOW: [u32; 16] = [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400];
/// Codes 0o10001 and on.
const HIGH: [u32; 15] = [
    57600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000,
    2_500_000, 3_000_000, 3_500_000, 4_000_000,
];

/// Baud of a code; none for BOTHER.
pub fn baud(code: u32) -> Option<u32> {
    if code & BOTHER == 0 {
        return LOW.get(code as usize).copied();
    }
    HIGH.get((code & 0o17).checked_sub(1)? as usize).copied()
}

/// The code of a speed; BOTHER if it has no name.
pub fn code(baud: u32) -> u32 {
    let find = |table: &[u32]| table.iter().position(|&speed| speed == baud).map(|at| at as u32);
    match (find(&LOW), find(&HIGH)) {
        (Some(at), _) => at,
        (None, Some(at)) => BOTHER + 1 + at,
        (None, None) => BOTHER,
    }
}

impl Termios {
    /// Takes the speeds from the codes, as the settings of the older two shapes mean it. BOTHER leaves what is there.
    pub fn speeds_from_codes(&mut self) {
        let bits = self.control.bits();
        if let Some(baud) = baud(bits & Control::CBAUD.bits()) {
            self.output_speed = baud;
        }
        let input = bits >> INPUT_SHIFT & Control::CBAUD.bits();
        match input {
            // B0 here: the same as sending.
            0 => self.input_speed = self.output_speed,
            code => self.input_speed = baud(code).unwrap_or(self.input_speed),
        }
    }

    /// Says in the codes what the speeds are.
    pub fn codes_from_speeds(&mut self) {
        let input = if self.input_speed == self.output_speed { 0 } else { code(self.input_speed) };
        self.control.remove(Control::CBAUD | Control::CIBAUD);
        self.control |= Control::from_bits_retain(code(self.output_speed) | input << INPUT_SHIFT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_both_ways() {
        for code_ in (0..=0o17).chain(0o10001..=0o10017) {
            assert_eq!(code(baud(code_).expect("named")), code_);
        }
        assert_eq!((baud(0o15), baud(0o10002), baud(BOTHER)), (Some(9600), Some(115_200), None));
        assert_eq!(code(31_250), BOTHER);
        assert_eq!(Control::CIBAUD.bits(), Control::CBAUD.bits() << INPUT_SHIFT);
    }

    #[test]
    fn speeds_and_codes_of_settings() {
        let mut settings = Termios::standard();
        settings.control.remove(Control::CBAUD);
        settings.control |= Control::from_bits_retain(B115200);
        settings.speeds_from_codes();
        assert_eq!((settings.input_speed, settings.output_speed), (115_200, 115_200));
        settings.output_speed = 31_250;
        settings.codes_from_speeds();
        assert_eq!(settings.control.bits() & Control::CBAUD.bits(), BOTHER);
        assert_eq!(settings.control.bits() & Control::CIBAUD.bits(), B115200 << INPUT_SHIFT);
        settings.speeds_from_codes();
        assert_eq!((settings.input_speed, settings.output_speed), (115_200, 31_250));
    }
}
