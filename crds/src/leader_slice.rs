//! The EndpointSlices of a leader's Service: what they are called, and what they bear.

use std::net::IpAddr;

/// Which Service a slice belongs to.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Who looks after a slice: with another value than theirs, the controllers of Kubernetes leave it alone.
pub const SLICE_MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";

/// What the addresses of a slice are: no slice holds both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    /// Of IPv4.
    IPv4,
    /// Of IPv6.
    IPv6,
}

impl AddressFamily {
    /// Both.
    pub const ALL: [AddressFamily; 2] = [AddressFamily::IPv4, AddressFamily::IPv6];

    /// The one that an address is of.
    #[must_use]
    pub fn of(address: IpAddr) -> AddressFamily {
        match address {
            IpAddr::V4(_) => AddressFamily::IPv4,
            IpAddr::V6(_) => AddressFamily::IPv6,
        }
    }
}

/// The name of the slice of the election called `election` that holds addresses of `family`.
#[must_use]
pub fn slice_name(election: &str, family: AddressFamily) -> String {
    let family = match family {
        AddressFamily::IPv4 => "ipv4",
        AddressFamily::IPv6 => "ipv6",
    };
    format!("leader-elector-{election}-{family}")
}

/// Whether a slice that is called `name` is made for the election called `election`.
#[must_use]
pub fn is_slice_of(name: &str, election: &str) -> bool {
    AddressFamily::ALL.into_iter().any(|family| slice_name(election, family) == name)
}
