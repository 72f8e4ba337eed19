mod certificates;
mod clients;

use std::sync::Arc;

use rustls::{
    Error, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    server::NoServerSessionStorage,
    version,
};

use certificates::Certificates;
use ir::TlsVersion;

/// TLS of one listener: what rustls is given, and what a reload compares.
pub(crate) struct ServerTls {
    settings: Settings,
    /// `None`: no version and suite go together, so every handshake is refused.
    configs: Option<Configs>,
}

/// What must stay the same for connections to go on over a reload. Certificates count by the Secret they
/// come from: a renewal is no change.
#[derive(PartialEq)]
struct Settings {
    tls: ir::Tls,
    sources: Vec<Box<str>>,
}

struct Configs {
    main: Arc<ServerConfig>,
    /// rustls ends a handshake where ALPN names do not overlap; Envoy goes on without.
    without_alpn: Arc<ServerConfig>,
}

impl ServerTls {
    /// Builds what rustls is given.
    pub(crate) fn build(tls: &ir::Tls) -> Self {
        let sources = tls.certificates.iter().map(|certificate| certificate.source().into()).collect();
        let settings = Settings { tls: ir::Tls { certificates: Vec::new(), ..tls.clone() }, sources };
        let configs = match server_config(tls) {
            Ok(without_alpn) => {
                let mut main = without_alpn.clone();
                main.alpn_protocols = tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
                Some(Configs { main: Arc::new(main), without_alpn: Arc::new(without_alpn) })
            }
            Err(error) => {
                tracing::warn!(%error, "TLS settings under which no handshake can succeed");
                None
            }
        };
        Self { settings, configs }
    }

    /// The configuration for a client that offers these ALPN names (`None`: it offers none at all).
    pub(crate) fn config_for<'a>(
        &self,
        offered: Option<impl Iterator<Item = &'a [u8]>>,
    ) -> Option<Arc<ServerConfig>> {
        let configs = self.configs.as_ref()?;
        let ours = &configs.main.alpn_protocols;
        let overlap = offered.is_none_or(|mut names| names.any(|name| ours.iter().any(|own| own == name)));
        Some(Arc::clone(if overlap { &configs.main } else { &configs.without_alpn }))
    }

    /// True if connections made under the one may go on under the other.
    pub(crate) fn same_settings(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

fn server_config(tls: &ir::Tls) -> Result<ServerConfig, Error> {
    let provider = aws_lc_rs::default_provider();
    let modern = provider.cipher_suites.iter().filter(|suite| suite.tls13().is_some());
    let cipher_suites = modern.chain(tls.ciphers.suites()).copied().collect();
    let provider = Arc::new(CryptoProvider { cipher_suites, ..provider });
    let resolver = Arc::new(Certificates::new(&tls.certificates));
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls.min, tls.max))?;
    let builder = match &tls.client_validation {
        None => builder.with_no_client_auth(),
        Some(validation) => {
            let verifier = clients::verifier(validation, &provider);
            builder.with_client_cert_verifier(verifier.map_err(|error| Error::General(error.to_string()))?)
        }
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn versions(min: TlsVersion, max: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    [(TlsVersion::V1_3, &version::TLS13), (TlsVersion::V1_2, &version::TLS12)]
        .into_iter()
        .filter(|(version, _)| (min..=max).contains(version))
        .map(|(_, supported)| supported)
        .collect()
}
