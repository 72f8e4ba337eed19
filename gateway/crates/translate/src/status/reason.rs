use std::fmt;

/// A reason of a condition: an enum per kind of object, whose text is the constant of the API.
pub(crate) trait Reason: Copy + fmt::Debug {
    /// The constant of the API.
    fn text(self) -> &'static str;
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident),* $(,)? })*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name { $($variant),* }

        impl Reason for $name {
            fn text(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),* }
            }
        })*
    };
}

reasons! {
    /// Of a GatewayClass.
    ClassReason { Accepted, InvalidParameters, OlderGatewayClassExists }

    /// Of a Gateway.
    GatewayReason {
        Accepted, ListenersNotValid, InvalidParameters, UnsupportedAddress, Programmed, AddressNotAssigned,
        AddressNotUsable, Invalid, UnservedField, Warnings, ResolvedRefs, InvalidClientCertificateRef,
        RefNotPermitted, ConfigurationChanged,
    }

    /// Of a listener.
    ListenerReason {
        Accepted, UnsupportedProtocol, Invalid, Programmed, PortUnavailable, AddressNotUsable, ResolvedRefs,
        InvalidCertificateRef, PartiallyInvalidCertificateRef, InvalidRouteKinds, RefNotPermitted,
        HostnameConflict, ProtocolConflict, OverlappingHostnames, OverlappingCertificates, NoValidCACertificate,
        InvalidCACertificateRef, InvalidCACertificateKind,
    }

    /// Of a ListenerSet.
    ListenerSetReason {
        Accepted, Invalid, NotAllowed, ParentNotAccepted, ListenersNotValid, Programmed, ParentNotProgrammed,
        PortUnavailable, UnservedField,
    }

    /// Of a route, for one parent.
    RouteReason {
        Accepted, NoMatchingParent, NotAllowedByListeners, NoMatchingListenerHostname, UnsupportedValue,
        ResolvedRefs, InvalidKind, RefNotPermitted, BackendNotFound, PortNotFound, UnsupportedProtocol,
        InvalidAddress, InvalidBackendTLS, InvalidBackendFilters, EndpointsNotFound,
        UnservedField,
    }

    /// Of a policy, for one ancestor.
    PolicyReason {
        Accepted, Invalid, Conflicted, TargetNotFound, Overridden, DeprecatedField, UnservedField, Warnings,
        ResolvedRefs, NoValidCACertificate, InvalidCACertificateRef, InvalidKind, RefNotPermitted,
    }

    /// Of a Backend.
    BackendReason { Accepted, Invalid, UnservedField }

    /// Of the Appliance.
    ApplianceReason { Accepted, Conflicted }

    /// Of any object whose newest text is refused.
    StaleReason { LastGood }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_constant_of_the_api() {
        assert_eq!(ListenerReason::InvalidCertificateRef.text(), "InvalidCertificateRef");
        assert_eq!(RouteReason::InvalidBackendTLS.text(), "InvalidBackendTLS");
    }
}
