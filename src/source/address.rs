//! Which addresses of the network are everybody's, and which are somebody's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Networks that are not the public internet (IANA's special-purpose registries): this machine, private
/// networks, the links where clouds keep their metadata, documentation, multicast, what is reserved.
const CLOSED_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// Of version 6 only what is handed out is public, and of that not what stands for something else.
const OPEN_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const CLOSED_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];
/// The well-known prefix of translated addresses: the last four bytes are an address of version 4.
const TRANSLATED: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whether an address lies in the public internet, where a server may be sent by somebody it does not know.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Why a host has no address to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Nobody knows the name.
    Unknown,
    /// An address of it is none that may be gone to.
    Closed,
}

/// Finds the addresses of a host, which may be one itself, those of version 4 first. All of them must be allowed, and
/// whoever connects must take one of these: asked again, the name could mean another machine. `known` are names that
/// the name service is not asked for.
pub async fn resolve(
    host: &str,
    port: u16,
    known: &[(String, IpAddr)],
    allows: impl Fn(IpAddr) -> bool,
) -> Result<Vec<IpAddr>, Unresolved> {
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let known = known.iter().find(|(name, _)| name == host).map(|(_, address)| *address);
    let mut addresses = match literal.or(known) {
        Some(address) => vec![address],
        None => {
            let found = tokio::net::lookup_host((host, port)).await.map_err(|_| Unresolved::Unknown)?;
            found.map(|address| address.ip()).collect()
        }
    };
    addresses.sort_by_key(IpAddr::is_ipv6);
    match addresses.iter().all(|address| allows(*address)) {
        true if addresses.is_empty() => Err(Unresolved::Unknown),
        true => Ok(addresses),
        false => Err(Unresolved::Closed),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !CLOSED_V4.iter().any(|(net, length)| Ipv4Net::new_assert(*net, *length).contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let within = |(net, length): (Ipv6Addr, u8)| Ipv6Net::new_assert(net, length).contains(&address);
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    if within(TRANSLATED) {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    within(OPEN_V6) && !CLOSED_V6.iter().copied().any(within)
}
