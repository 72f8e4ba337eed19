use super::super::counterpart::{Counterpart, closes, converted, lost, needless};

const AUTH: &str = "HTTPRoute has no authentication that is served here";
const ADDRESSES: &str = "HTTPRoute does not match addresses; `clientCIDRs.allow` of a ConnectionPolicy does, for a whole listener";

/// Middlewares, by the field of `spec`.
pub(in super::super) const MIDDLEWARES: &[Counterpart] = &[
    converted("addPrefix", "URLRewrite, where the rule matches an exact path or a prefix"),
    converted("chain", "what its middlewares become, in their order"),
    converted("headers", "header filters and the CORS filter, as below"),
    converted(
        "redirectRegex",
        "RequestRedirect, where the expression is a scheme and a host, and the path stays",
    ),
    converted("redirectScheme", "RequestRedirect with 308 or 307; nothing for a router with TLS and `https`"),
    converted("replacePath", "URLRewrite of the whole path; the header X-Replaced-Path is not set"),
    converted("replacePathRegex", "URLRewrite, where the expression is a prefix and the rest"),
    converted(
        "stripPrefix",
        "URLRewrite of a prefix, and the header X-Forwarded-Prefix; a rule of its own where the router matches more",
    ),
    converted("stripPrefixRegex", "as stripPrefix, where the expression is plain text"),
    needless("contentType", "the type of a response is the backend's"),
    closes("basicAuth", AUTH),
    closes("digestAuth", AUTH),
    closes("forwardAuth", AUTH),
    closes("ipAllowList", ADDRESSES),
    closes("ipWhiteList", ADDRESSES),
    closes("plugin", "a plugin may do anything"),
    lost("buffering", "bodies are passed on as they come"),
    lost("circuitBreaker", "backends are not taken out"),
    lost("compress", "responses are not compressed"),
    lost("encodedCharacters", "HTTPRoute does not say it"),
    lost("errors", "error pages are the backend's"),
    lost("grpcWeb", "gRPC-Web is not served"),
    lost("inFlightReq", "requests in flight are not limited"),
    lost("passTLSClientCert", "client certificates are not told to backends"),
    lost("rateLimit", "HTTPRoute has no rate limit; ConnectionPolicy limits connections of a listener"),
    lost("retry", "a rule has `retry` of its own, for other failures: write it"),
];

/// Fields of the middleware `headers`.
pub(in super::super) const HEADERS: &[Counterpart] = &[
    converted("accessControlAllowCredentials", "`allowCredentials` of the CORS filter"),
    converted("accessControlAllowHeaders", "`allowHeaders`"),
    converted("accessControlAllowMethods", "`allowMethods`"),
    converted("accessControlAllowOriginList", "`allowOrigins`"),
    converted("accessControlExposeHeaders", "`exposeHeaders`"),
    converted("accessControlMaxAge", "`maxAge`"),
    converted("browserXssFilter", "a response header X-XSS-Protection"),
    converted("contentSecurityPolicy", "a response header Content-Security-Policy"),
    converted("contentSecurityPolicyReportOnly", "a response header Content-Security-Policy-Report-Only"),
    converted("contentTypeNosniff", "a response header X-Content-Type-Options"),
    converted("customBrowserXSSValue", "a response header X-XSS-Protection"),
    converted("customFrameOptionsValue", "a response header X-Frame-Options"),
    converted("customRequestHeaders", "RequestHeaderModifier; an empty value removes"),
    converted("customResponseHeaders", "ResponseHeaderModifier; an empty value removes"),
    converted("forceSTSHeader", "Strict-Transport-Security without TLS too"),
    converted("frameDeny", "a response header X-Frame-Options"),
    converted("permissionsPolicy", "a response header Permissions-Policy"),
    converted("referrerPolicy", "a response header Referrer-Policy"),
    converted("stsIncludeSubdomains", "`includeSubDomains` of Strict-Transport-Security"),
    converted("stsPreload", "its `preload`"),
    converted("stsSeconds", "a response header Strict-Transport-Security, for routers with TLS"),
    needless("addVaryHeader", "the CORS filter says Vary"),
    needless("isDevelopment", "nothing here depends on it"),
    closes("allowedHosts", "hosts are what the route names"),
    lost("accessControlAllowOriginListRegex", "the CORS filter has names and `*.` before names only"),
    lost("featurePolicy", "browsers have given it up for Permissions-Policy"),
    lost("hostsProxyHeaders", "HTTPRoute does not say it"),
    lost("publicKey", "browsers have given up public key pinning"),
    lost("ssl*", "write a redirectScheme middleware, as Traefik asks for since version 2.5"),
];

/// Fields of a service in a route, beside its name, namespace and port.
pub(in super::super) const SERVICE: &[Counterpart] = &[
    converted("kind", "`Service`; a `TraefikService` with `weighted` is what it names"),
    converted("name", "`name` of the backend"),
    converted("namespace", "`namespace`; another one needs a ReferenceGrant"),
    converted("port", "`port`; a name becomes the number, where the Service is among the files"),
    converted(
        "scheme",
        "`http`; `h2c` where the Service's port says `appProtocol: kubernetes.io/h2c`; others are left out",
    ),
    converted("weight", "`weight`"),
    needless("nativeLB", "backends are what the Service has"),
    needless("nodePortLB", "backends are what the Service has"),
    needless("responseForwarding", "bodies are passed on as they come"),
    lost("healthCheck", "endpoints are those of the EndpointSlices"),
    lost("passHostHeader", "the Host stays; URLRewrite sets a fixed name"),
    lost("passiveHealthCheck", "endpoints are those of the EndpointSlices"),
    lost("serversTransport", "TLS to backends is BackendTLSPolicy's: write one for the Service"),
    lost("sticky", "session persistence is experimental in Gateway API and not served"),
    lost("strategy", "how endpoints are chosen is not said by HTTPRoute"),
];

/// Matchers of the rule language. `Fate::Lost`: the alternative of the rule that it stands in is left out.
#[cfg(test)]
pub(in super::super) const MATCHERS: &[Counterpart] = &[
    converted("!Method", "one match for each of the other methods"),
    converted("&&", "conditions of one match; two conditions on the path where one is part of the other"),
    converted("Header", "a header, exactly; `Headers` in version 2"),
    converted(
        "HeaderRegexp",
        "a header by an expression, with `.*` where it was open; `HeadersRegexp` in version 2",
    ),
    converted("Host", "`hostnames`; `HostHeader` likewise"),
    converted("HostRegexp", "`*.` before a name, or no hostname, where the expression says that"),
    converted("Method", "`method`"),
    converted("Path", "Exact; with braces of version 2 an expression"),
    converted("PathPrefix", "PathPrefix; with braces of version 2, or a `^`, an expression"),
    converted("PathRegexp", "RegularExpression, with `.*` where the expression was open"),
    converted("Query", "a query parameter, exactly; `a=b` in version 2"),
    converted("QueryRegexp", "a query parameter by an expression"),
    converted(
        "priority",
        "the order is kept: paths become expressions, longer ones by groups that match nothing, where Gateway API's own order is another",
    ),
    converted("\\|\\|", "several matches, or several routes"),
    lost("!", "HTTPRoute knows no negation"),
    lost(
        "ClientIP",
        "HTTPRoute does not match addresses; `clientCIDRs` of a ConnectionPolicy does, for a whole listener",
    ),
];
