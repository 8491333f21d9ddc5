//! Serial ports.

pub mod uart16550;

#[cfg(not(target_os = "linux"))]
impl uart16550::Registers for crate::platform::PortBlock {
    fn read(&self, reg: u8) -> u8 {
        self.read(reg)
    }

    fn write(&self, reg: u8, value: u8) {
        self.write(reg, value);
    }
}
