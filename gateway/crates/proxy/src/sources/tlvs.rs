use std::borrow::Cow;

use ebpf_common::proxy_protocol::{
    Malformed,
    block::{self, Kinds, Ssl, TLV_HEAD, Tlv, TlvReader},
};
use ir::ProxyTlv;

/// What a PROXY header says beside addresses: its TLVs without padding and checksum, as they came. At most as long
/// as a header may be, a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tlvs(Box<[u8]>);

impl Tlvs {
    /// Those of a whole header that the parser was done with. `None`: it has none that say anything.
    ///
    /// # Errors
    /// As [`TlvReader::checked`].
    pub(crate) fn of_header(header: &[u8]) -> Result<Option<Self>, Malformed> {
        let told = |tlv: &Tlv<'_>| !matches!(tlv.kind, block::NOOP | block::CRC32C);
        let tlvs = TlvReader::of_header(header).checked()?;
        let length = tlvs.flatten().filter(told).map(|tlv| TLV_HEAD + tlv.value.len()).sum();
        if length == 0 {
            return Ok(None);
        }
        let mut kept = Vec::with_capacity(length);
        for tlv in tlvs.flatten().filter(told) {
            // Within a header, whose length has two bytes.
            let [high, low] = (tlv.value.len() as u16).to_be_bytes();
            kept.extend_from_slice(&[tlv.kind, high, low]);
            kept.extend_from_slice(tlv.value);
        }
        Ok(Some(Self(kept.into())))
    }

    /// What the header says of one; of several of a sender's own type the first. `None`: nothing, or it is the name in
    /// a certificate that the sender has not verified.
    pub(crate) fn value(&self, what: ProxyTlv) -> Option<Cow<'_, [u8]>> {
        let borrowed = |kind| self.first(kind).map(Cow::Borrowed);
        match what {
            ProxyTlv::Alpn => borrowed(block::ALPN),
            ProxyTlv::Authority => borrowed(block::AUTHORITY),
            ProxyTlv::NetworkNamespace => borrowed(block::NETNS),
            ProxyTlv::UniqueId => self.first(block::UNIQUE_ID).map(hexadecimal),
            ProxyTlv::SslVersion => self.ssl_detail(block::SSL_VERSION),
            ProxyTlv::SslCipher => self.ssl_detail(block::SSL_CIPHER),
            ProxyTlv::SslSignatureAlgorithm => self.ssl_detail(block::SSL_SIGNATURE_ALGORITHM),
            ProxyTlv::SslKeyAlgorithm => self.ssl_detail(block::SSL_KEY_ALGORITHM),
            ProxyTlv::SslCommonName => {
                self.ssl().filter(Ssl::is_verified)?;
                self.ssl_detail(block::SSL_COMMON_NAME)
            }
            ProxyTlv::SslVerify => self.ssl().map(|ssl| ssl.verify.to_string().into_bytes().into()),
            ProxyTlv::Custom(kind) => self.first(kind).map(hexadecimal),
        }
    }

    /// All that can be told, those with a name first, then a sender's own in their order, the first of each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ProxyTlv, Cow<'_, [u8]>)> {
        let mut seen = Kinds::default();
        let own = self.tlvs().filter(|tlv| tlv.kind >= ProxyTlv::FIRST_CUSTOM);
        let own = own.filter(move |tlv| seen.add(tlv.kind));
        let own = own.map(|tlv| (ProxyTlv::Custom(tlv.kind), hexadecimal(tlv.value)));
        ProxyTlv::all_named().filter_map(|what| Some((what, self.value(what)?))).chain(own)
    }

    fn tlvs(&self) -> impl Iterator<Item = Tlv<'_>> {
        TlvReader::new(&self.0).flatten()
    }

    fn first(&self, kind: u8) -> Option<&[u8]> {
        self.tlvs().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value)
    }

    fn ssl(&self) -> Option<Ssl<'_>> {
        self.first(block::SSL).and_then(Ssl::read)
    }

    fn ssl_detail(&self, kind: u8) -> Option<Cow<'_, [u8]>> {
        let detail = self.ssl()?.details.flatten().find(|tlv| tlv.kind == kind)?;
        Some(Cow::Borrowed(detail.value))
    }
}

/// Opaque bytes, as a field value or a log can have them.
fn hexadecimal(bytes: &[u8]) -> Cow<'_, [u8]> {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect::<Vec<u8>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header over TCP and IPv4 with these TLVs.
    fn header(tlvs: &[u8]) -> Vec<u8> {
        let length = (12 + tlvs.len()) as u16;
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length.to_be_bytes()[..], &[7; 12], tlvs].concat()
    }

    fn tlvs(bytes: &[u8]) -> Tlvs {
        Tlvs::of_header(&header(bytes)).expect("well formed").expect("it says something")
    }

    fn text(tlvs: &Tlvs) -> Vec<String> {
        tlvs.iter().map(|(what, value)| format!("{what}={}", value.escape_ascii())).collect()
    }

    const ALL: &[u8] = b"\x04\0\x02..\xea\0\x02\x01v\x01\0\x02h2\x02\0\x06a.test\x05\0\x02\x0f\xa0\
        \x20\0\x2a\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x02me\x23\0\x03AES\x24\0\x06SHA256\x25\0\x04RSA2\
        \x30\0\x02ns\xea\0\x01x\x03\0\x04\0\0\0\0\x99\0\x01?";

    #[test]
    fn every_type_is_told_once() {
        assert_eq!(
            text(&tlvs(ALL)),
            [
                "ALPN=h2",
                "Authority=a.test",
                "UniqueID=0fa0",
                "NetworkNamespace=ns",
                "SSLVersion=TLSv1.3",
                "SSLCommonName=me",
                "SSLCipher=AES",
                "SSLSignatureAlgorithm=SHA256",
                "SSLKeyAlgorithm=RSA2",
                "SSLVerify=0",
                "0xEA=0176",
            ]
        );
        assert_eq!(tlvs(ALL).value(ProxyTlv::Custom(0xeb)), None);
    }

    #[test]
    fn padding_and_checksums_are_not_kept() {
        for nothing in [&b""[..], b"\x04\0\0", b"\x04\0\x01.\x04\0\x01.\x03\0\x04\0\0\0\0"] {
            assert_eq!(Tlvs::of_header(&header(nothing)), Ok(None));
        }
        assert_eq!(Tlvs::of_header(b"PROXY UNKNOWN\r\n"), Ok(None));
        assert_eq!(tlvs(b"\x04\0\x05.....\x01\0\x02h2").0.len(), 5);
    }

    #[test]
    fn a_name_counts_only_if_its_certificate_was_verified() {
        for (ssl, names) in [
            (&b"\x20\0\x0a\x07\0\0\0\0\x22\0\x02me"[..], true),
            (b"\x20\0\x0a\x05\0\0\0\0\x22\0\x02me", true),
            (b"\x20\0\x0a\x07\0\0\0\x01\x22\0\x02me", false),
            (b"\x20\0\x0a\x01\0\0\0\0\x22\0\x02me", false),
        ] {
            assert_eq!(tlvs(ssl).value(ProxyTlv::SslCommonName).is_some(), names, "{}", ssl.escape_ascii());
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_malformed() {
        for (bytes, reason) in [
            (&b"\x01\0\x02h2\x01\0\x02h3"[..], Malformed::RepeatedTlv),
            (b"\x20\0\x05\x01\0\0\0\0\x20\0\x05\x01\0\0\0\0", Malformed::RepeatedTlv),
            (b"\x20\0\x0d\x01\0\0\0\0\x22\0\x01a\x22\0\x01b", Malformed::RepeatedTlv),
            (b"\x20\0\x04\x01\0\0\0", Malformed::Tlv),
            (b"\x20\0\x09\x01\0\0\0\0\x22\0\x02a", Malformed::Tlv),
            (b"\x20\0\x06\x01\0\0\0\0\x22", Malformed::Tlv),
        ] {
            assert_eq!(Tlvs::of_header(&header(bytes)), Err(reason), "{}", bytes.escape_ascii());
        }
    }
}
