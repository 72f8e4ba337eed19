/// A decimal number in its one canonical form: no sign, no leading zero, at most `u16::MAX`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    value: u16,
    digits: u8,
}

impl Decimal {
    pub(super) const fn new() -> Self {
        Self { value: 0, digits: 0 }
    }

    /// A number of which all digits but the following ones were read.
    pub(super) const fn of(value: u16) -> Self {
        Self { value, digits: 1 }
    }

    /// With one more digit; `None`: not a digit, or not canonical with it.
    pub(super) fn push(self, byte: u8) -> Option<Self> {
        let digit = u16::from(byte.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        if self.digits > 0 && self.value == 0 {
            return None;
        }
        let value = self.value.checked_mul(10)?.checked_add(digit)?;
        Some(Self { value, digits: self.digits + 1 })
    }

    /// The number, if there was a digit.
    pub(super) fn finish(self) -> Option<u16> {
        (self.digits > 0).then_some(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<u16> {
        text.bytes().try_fold(Decimal::new(), Decimal::push)?.finish()
    }

    #[test]
    fn numbers_have_one_form() {
        for value in [0, 1, 9, 10, 100, 1024, 65535] {
            extern crate std;
            assert_eq!(read(&std::format!("{value}")), Some(value));
        }
        for text in ["", "00", "01", "65536", "99999", "100000", "-1", "+1", " 1", "1 ", "0x1", "1e1"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
