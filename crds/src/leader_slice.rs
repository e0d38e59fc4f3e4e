//! The names and labels of the EndpointSlices of a leader's Service.

use std::net::IpAddr;

/// The label that names the Service that a slice belongs to.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The label that names the manager of a slice: the controllers of Kubernetes leave a slice with another manager alone.
pub const SLICE_MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";

/// The family of the addresses of a slice: no slice holds both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    /// IPv4 addresses.
    IPv4,
    /// IPv6 addresses.
    IPv6,
}

impl AddressFamily {
    /// Both families.
    pub const ALL: [AddressFamily; 2] = [AddressFamily::IPv4, AddressFamily::IPv6];

    /// The family of an address.
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
