use super::Addresses;

/// What a header says of the connection that it precedes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// `TCP4` and `TCP6`; stream over IPv4 or IPv6.
    Tcp(Addresses),
    /// Datagram over IPv4 or IPv6: how the sender was reached, not a connection.
    Udp(Addresses),
    /// Stream or datagram over a UNIX socket: its paths mean nothing here.
    Unix,
    /// `UNKNOWN`; unspecified: the sender cannot say.
    Unknown,
    /// LOCAL: the sender speaks for itself, as in a health check.
    Local,
}

/// Why bytes that begin like a header are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// Version 1: neither `TCP4`, `TCP6` nor `UNKNOWN`, or more than one space before it.
    Protocol,
    /// Version 1: not an address of that family.
    Address,
    /// Version 1: not a port in its canonical form.
    Port,
    /// Version 1: a line end that is not CR LF, or one too early.
    LineEnd,
    /// Version 1: more than 107 bytes.
    LineTooLong,
    /// Version 2: a version other than 2.
    Version,
    /// Version 2: a command other than LOCAL and PROXY.
    Command,
    /// Version 2: a pair of family and protocol that the specification does not list.
    Family,
    /// Version 2: shorter than the addresses of its family.
    TooShort,
    /// Version 2: longer than we accept.
    TooLong,
    /// Version 2: a TLV that does not end within the header.
    Tlv,
    /// Version 2: a second TLV of a type that is told by name. User space alone looks for these.
    RepeatedTlv,
    /// Version 2: a second checksum, or one that is not four bytes long.
    ChecksumForm,
    /// Version 2: the checksum is another one's.
    Checksum,
}

impl Malformed {
    /// A word for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Address => "address",
            Self::Port => "port",
            Self::LineEnd => "line_end",
            Self::LineTooLong => "line_too_long",
            Self::Version => "version",
            Self::Command => "command",
            Self::Family => "family",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::Tlv => "tlv",
            Self::RepeatedTlv => "repeated_tlv",
            Self::ChecksumForm => "checksum_form",
            Self::Checksum => "checksum",
        }
    }
}
