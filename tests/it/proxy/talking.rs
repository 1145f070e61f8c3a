//! The proxy's words, and its limits.

use std::sync::Arc;

use codeyard::proxy::Policy;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::{Served, Upstream, fine, policy};
use crate::support::tls::acceptor;

const LAST: &str = "Connection: close\r\n\r\n";

#[tokio::test]
async fn a_request_is_asked_anew_of_whom_its_first_line_names() {
    let upstream = Upstream::start(fine()).await;
    let host = format!("one.test:{}", upstream.port);
    let served = Served::with(policy(&[&host])).await;
    let said = served
        .say(&format!(
            "GET http://{host}/a?b=c HTTP/1.1\r\nHost: evil.test\r\nX-Mine: 1\r\nAccept: text/plain\r\n\
             Proxy-Authorization: secret\r\nProxy-Connection: keep-alive\r\nConnection: close, X-Mine\r\n\r\n"
        ))
        .await;
    assert!(said.starts_with("HTTP/1.1 200 OK") && said.ends_with("\r\n\r\nfine"), "{said}");
    assert!(!said.to_lowercase().contains("keep-alive"), "{said}");
    let heard = upstream.heard().to_lowercase();
    assert!(
        heard.starts_with("get /a?b=c http/1.1\r\n") && heard.contains(&format!("host: {host}\r\n")),
        "{heard}"
    );
    assert!(heard.contains("accept: text/plain"), "{heard}");
    for gone in ["evil", "x-mine", "proxy", "secret"] {
        assert!(!heard.contains(gone), "{gone}: {heard}");
    }
    let traffic = served.traffic();
    assert_eq!((traffic.host, traffic.passed, traffic.refused, traffic.received), (host, 1, 0, 4));
}

#[tokio::test]
async fn what_is_not_granted_is_refused_with_its_reason_before_anybody_is_asked() {
    let upstream = Upstream::start(fine()).await;
    let port = upstream.port;
    let served = Served::with(policy(&[format!("one.test:{port}"), "pypi".to_owned()])).await;
    for (line, host) in [
        (format!("GET http://two.test:{port}/ HTTP/1.1"), format!("two.test:{port}")),
        (format!("GET http://127.0.0.1:{port}/ HTTP/1.1"), format!("127.0.0.1:{port}")),
        (format!("GET http://0x7f.1:{port}/ HTTP/1.1"), format!("127.0.0.1:{port}")),
        (format!("GET http://[::ffff:127.0.0.1]:{port}/ HTTP/1.1"), format!("[::ffff:7f00:1]:{port}")),
        ("GET http://one.test/ HTTP/1.1".to_owned(), "one.test:80".to_owned()),
        (format!("CONNECT two.test:{port} HTTP/1.1"), format!("two.test:{port}")),
        ("CONNECT one.test:22 HTTP/1.1".to_owned(), "one.test:22".to_owned()),
    ] {
        let said = served.say(&format!("{line}\r\nHost: one.test:{port}\r\n{LAST}")).await;
        assert!(
            said.starts_with("HTTP/1.1 403 Not granted by the network policy of this build"),
            "{line}: {said}"
        );
        let why = format!("may not reach `{host}`; it may reach: one.test:{port}, pypi.");
        assert!(said.contains(&why) && said.contains("sandbox.network"), "{line}: {said}");
        let traffic = served.traffic();
        assert_eq!((traffic.host, traffic.refused, traffic.why), (host, 1, Some("not_granted")), "{line}");
    }
    assert_eq!(upstream.heard(), "");
}

#[tokio::test]
async fn an_allowed_name_that_leads_to_a_private_address_is_refused() {
    let upstream = Upstream::start(fine()).await;
    let port = upstream.port;
    let hosts = ["one.test", "localhost", "127.0.0.1", "[::1]", "169.254.169.254"]
        .map(|host| format!("{host}:{port}"));
    let open = policy(&hosts);
    let served = Served::with(Policy { private_networks: Vec::new(), ..open }).await;
    for host in &hosts {
        for line in [format!("GET http://{host}/ HTTP/1.1"), format!("CONNECT {host} HTTP/1.1")] {
            let said = served.say(&format!("{line}\r\nHost: x\r\n{LAST}")).await;
            assert!(
                said.starts_with("HTTP/1.1 403 Refused by network policy: private address"),
                "{line}: {said}"
            );
            assert_eq!(served.traffic().why, Some("private_address"), "{line}");
        }
    }
    assert_eq!(upstream.heard(), "");
}

#[tokio::test]
async fn nothing_can_be_smuggled_past_the_check() {
    let upstream = Upstream::start(fine()).await;
    let host = format!("one.test:{}", upstream.port);
    let served = Served::with(policy(&[&host])).await;
    let inner = "GET http://two.test/ HTTP/1.1\r\nHost: two.test\r\n\r\n";
    // Two lengths, an encoding that nobody knows, lines that hide another, and requests to no proxy at all.
    for head in [
        format!("POST http://{host}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n{inner}"),
        format!(
            "POST http://{host}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{inner}"
        ),
        format!("GET /x HTTP/1.1\r\nHost: {host}\r\n{LAST}"),
        format!("GET https://{host}/ HTTP/1.1\r\nHost: x\r\n{LAST}"),
        format!("GET http://u:p@{host}/ HTTP/1.1\r\nHost: x\r\n{LAST}"),
        format!("CONNECT one.test HTTP/1.1\r\nHost: {host}\r\n{LAST}"),
    ] {
        let said = served.say(&head).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{head}: {said}");
        assert_eq!(upstream.heard(), "", "{head}");
    }
    // Of a length and an encoding the latter counts, and whoever sends both has sent the last request.
    let two = format!(
        "POST http://{host}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
    );
    assert_eq!(served.say(&two).await.matches("HTTP/1.1 ").count(), 1);
    assert!(upstream.heard().matches("HTTP/1.1\r\n").count() == 1 && !upstream.heard().contains("two.test"));
    served.proxy.take_traffic();
    upstream.heard.lock().unwrap().clear();
    // A body is a body, whatever it looks like, and what follows it is another request, checked for itself.
    let said = served
        .say(&format!(
            "POST http://{host}/ HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{inner}{inner}GET http://two.test/ HTTP/1.1\r\nHost: x\r\n{LAST}",
            inner.len()
        ))
        .await;
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 1, "{said}");
    assert_eq!(said.matches("HTTP/1.1 403 ").count(), 2, "{said}");
    assert_eq!(upstream.heard().matches("POST / ").count(), 1);
    let seen: Vec<_> =
        served.proxy.take_traffic().into_iter().map(|t| (t.host, t.passed, t.refused)).collect();
    assert_eq!(seen, [(host, 1, 0), ("two.test:80".to_owned(), 0, 2)]);
}

/// Opens a tunnel; the connection, once the proxy has agreed.
async fn tunnel(served: &Served, host: &str) -> TcpStream {
    let mut stream = served.connect().await;
    stream.write_all(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"\r\n\r\n") {
        said.push(stream.read_u8().await.unwrap());
    }
    assert!(said.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&said));
    stream
}

/// A server of `one.test` that sends back what it gets, and a client that trusts it; its port, and how many bytes of
/// any connection have come to it.
async fn echo(folder: &std::path::Path) -> (u16, TlsConnector) {
    let acceptor = acceptor("one.test", folder);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("certificate.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let (mut from, mut to) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    (port, TlsConnector::from(Arc::new(config)))
}

#[tokio::test]
async fn a_tunnel_carries_tls_both_ways_until_one_end_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (port, connector) = echo(folder.path()).await;
    let host = format!("one.test:{port}");
    let served = Served::with(policy(&[&host])).await;
    let name = ServerName::try_from("one.test").unwrap();
    let mut stream = connector.connect(name, tunnel(&served, &host).await).await.unwrap();
    let sent = vec![b'x'; 300_000];
    let (mut from, mut to) = tokio::io::split(&mut stream);
    let mut back = vec![0; sent.len()];
    let (wrote, read) = tokio::join!(to.write_all(&sent), from.read_exact(&mut back));
    wrote.unwrap();
    read.unwrap();
    assert_eq!(back, sent);
    let traffic = served.traffic();
    assert_eq!((traffic.host, traffic.passed), (host, 1));
    assert!(traffic.sent > 300_000 && traffic.received > 300_000);
    // The proxy ends with the command, and with it every tunnel.
    served.task.abort();
    assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_tunnel_leads_to_the_host_that_it_was_made_for_and_carries_nothing_else_than_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (_, connector) = echo(folder.path()).await;
    let upstream = Upstream::start(fine()).await;
    let host = format!("one.test:{}", upstream.port);
    let served = Served::with(policy(&[&host])).await;
    // Another name behind the same address.
    let other = ServerName::try_from("two.test").unwrap();
    assert!(connector.connect(other, tunnel(&served, &host).await).await.is_err());
    assert_eq!(served.traffic().why, Some("not_tls"));
    // No name at all.
    let address = ServerName::try_from("127.0.0.1").unwrap();
    assert!(connector.connect(address, tunnel(&served, &host).await).await.is_err());
    // No TLS.
    for words in ["GET / HTTP/1.1\r\nHost: two.test\r\n\r\n", "SSH-2.0-x\r\n", "\u{16}\u{3}\u{1}"] {
        let mut stream = tunnel(&served, &host).await;
        stream.write_all(words.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)), "{words}");
    }
    assert_eq!(upstream.heard(), "");
}

#[tokio::test]
async fn bytes_end() {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let upstream = Upstream::start(answer.into_bytes()).await;
    let host = format!("one.test:{}", upstream.port);
    let served = Served::with(Policy { bytes: 150_000, ..policy(&[&host]) }).await;
    let ask = format!("GET http://{host}/ HTTP/1.1\r\nHost: x\r\n{LAST}");
    assert!(served.say(&ask).await.len() > 100_000);
    let cut = served.say(&ask).await;
    assert!(cut.starts_with("HTTP/1.1 200 OK") && cut.len() < 100_000, "{}", cut.len());
    let refused = served.say(&ask).await;
    assert!(
        refused.starts_with("HTTP/1.1 403 Refused by network policy: all bytes are used up"),
        "{refused}"
    );
    assert_eq!(served.traffic().why, Some("bytes_used_up"));
}

#[tokio::test]
async fn more_connections_than_may_be_open_wait_for_their_turn() {
    let folder = tempfile::tempdir().unwrap();
    let (port, connector) = echo(folder.path()).await;
    let upstream = Upstream::start(fine()).await;
    let (host, other) = (format!("one.test:{port}"), format!("two.test:{}", upstream.port));
    let served = Served::with(Policy { connections: 1, ..policy(&[host.clone(), other.clone()]) }).await;
    let name = ServerName::try_from("one.test").unwrap();
    let mut first = connector.connect(name, tunnel(&served, &host).await).await.unwrap();
    let mut second = served.connect().await;
    let ask = format!("GET http://{other}/ HTTP/1.1\r\nHost: x\r\n{LAST}");
    second.write_all(ask.as_bytes()).await.unwrap();
    for _ in 0..100 {
        first.write_all(b"x").await.unwrap();
        first.read_u8().await.unwrap();
    }
    assert_eq!(upstream.heard(), "", "a tunnel holds its place");
    drop(first);
    let mut said = String::new();
    second.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap().port();
    drop(listener);
    let babble = Upstream::start(b"babble babble\r\n\r\n".to_vec()).await;
    let hosts = [
        format!("one.test:{closed}"),
        format!("one.test:{}", babble.port),
        format!("nobody.invalid:{closed}"),
    ];
    let served = Served::with(policy(&hosts)).await;
    for (host, code) in hosts.iter().zip(["unreachable", "silent", "unknown_host"]) {
        let said = served.say(&format!("GET http://{host}/ HTTP/1.1\r\nHost: x\r\n{LAST}")).await;
        assert!(said.starts_with("HTTP/1.1 502 "), "{said}");
        assert_eq!(served.traffic().why, Some(code), "{host}");
    }
}
