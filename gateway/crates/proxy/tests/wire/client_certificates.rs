//! Certificates that clients are asked for.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use ir::{ClientSettings, ClientValidation, ClientValidationMode, Tls, TlsVersion};
use prometheus::TextEncoder;
use rustls::{AlertDescription, Error, version};

use crate::{backend::*, configure::*, trust::*};

/// A listener that asks for certificates of these authorities.
fn asking(
    authorities: ir::Authorities,
    mode: ClientValidationMode,
    backend: &Echo,
) -> (proxy::Proxy, ReservedPort) {
    let tls = Tls {
        certificates: vec![certificate("default/web", &["a.test"])],
        min: TlsVersion::V1_2,
        max: TlsVersion::V1_3,
        ciphers: ir::CipherSuites::default(),
        alpn: vec!["http/1.1".into()],
        client_validation: Some(ClientValidation { authorities: authorities.into(), mode }),
    };
    let client = Arc::new(ClientSettings::default());
    let listener = listener("web", None, Some(tls), &client, Some(backend.address));
    let (mut proxy, port) = (start(), ReservedPort::new());
    publish(&mut proxy, gateway(vec![https("web", port.key(), vec![listener])]));
    (proxy, port)
}

/// The status of an answer, or what TLS has against the client: in TLS 1.3 that comes after its handshake.
fn served(port: &ReservedPort, offer: &Offer) -> Result<String, Error> {
    let mut secured = offer.shake(port.address(), "a.test")?;
    let mut answer = String::new();
    let asked = secured.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n");
    match asked.and_then(|()| secured.read_to_string(&mut answer)) {
        Ok(_) => Ok(answer[9..12].to_owned()),
        Err(error) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
            Err(inner.cloned().unwrap_or_else(|| panic!("no error of TLS: {error}")))
        }
    }
}

/// The same client with each version of TLS.
fn offers(own: Option<&Arc<rustls::sign::CertifiedKey>>) -> [Offer; 2] {
    [&version::TLS12, &version::TLS13].map(|version| Offer {
        versions: vec![version],
        own: own.map(Arc::clone),
        ..Offer::default()
    })
}

#[test]
fn only_who_shows_a_valid_certificate_is_served() {
    let echo = Echo::start("echo");
    let (ours, second, foreign) = (Authority::new(), Authority::new(), Authority::new());
    // All three have one subject, and each is tried.
    let (proxy, port) =
        asking(ours.trusted().with(&second.trusted()), ClientValidationMode::AllowValidOnly, &echo);
    for authority in [&ours, &second] {
        for offer in offers(Some(authority.signs(&["client.test"]).rustls())) {
            assert_eq!(served(&port, &offer).as_deref(), Ok("200"));
        }
    }
    assert_eq!(echo.answered(), 4);
    for offer in offers(None) {
        let required = AlertDescription::CertificateRequired;
        assert_eq!(served(&port, &offer), Err(Error::AlertReceived(required)));
    }
    for offer in offers(Some(foreign.signs(&["client.test"]).rustls())) {
        let refused = served(&port, &offer).unwrap_err();
        let alerts = [AlertDescription::UnknownCA, AlertDescription::DecryptError];
        assert!(alerts.map(Error::AlertReceived).contains(&refused), "{refused}");
    }
    assert_eq!(echo.answered(), 4);
    let refused = r#"gateway_connections_refused_total{listener="default/eg/web",tier="accept",reason="tls_client_certificate",policy=""} 4"#;
    eventually("the refused are counted", || {
        TextEncoder::new()
            .encode_to_string(&proxy.metrics().gather())
            .unwrap()
            .lines()
            .any(|line| line == refused)
    });
}

#[test]
fn with_a_fallback_everybody_is_served_and_asked_all_the_same() {
    let echo = Echo::start("echo");
    let (ours, foreign) = (Authority::new(), Authority::new());
    let (_proxy, port) = asking(ours.trusted(), ClientValidationMode::AllowInsecureFallback, &echo);
    let certificates = [Some(ours.signs(&["client.test"])), Some(foreign.signs(&["client.test"])), None];
    for own in &certificates {
        for offer in offers(own.as_ref().map(|own| own.rustls())) {
            assert_eq!(served(&port, &offer).as_deref(), Ok("200"));
        }
    }
    // Who shows a certificate must have its key.
    let (shown, other) = (ours.signs(&["client.test"]), ours.signs(&["client.test"]));
    let key = Arc::clone(&other.rustls().key);
    let stolen = Arc::new(rustls::sign::CertifiedKey::new(shown.rustls().cert.clone(), key));
    for offer in offers(Some(&stolen)) {
        assert_eq!(served(&port, &offer), Err(Error::AlertReceived(AlertDescription::DecryptError)));
    }
}
