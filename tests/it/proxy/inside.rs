//! What a command behind the proxy can reach, and what it cannot.

use codeyard::proxy::Proxy;
use codeyard::sandbox::{Command, Error, Finished, Level, Limits, Sandbox};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use super::{Upstream, fine, policy};
use crate::sandbox::{at, levels};

async fn run(sandbox: &Sandbox, command: &Command) -> Result<Finished, Error> {
    sandbox.run(command, &CancellationToken::new()).await
}

/// The only level with a network of its own, if this machine has it.
fn sandbox() -> Option<Sandbox> {
    levels().contains(&Level::Bubblewrap).then(|| at(Level::Bubblewrap))
}

fn python(sandbox: &Sandbox, script: &str) -> (codeyard::sandbox::Workspace, Command) {
    let workspace = sandbox.workspace().unwrap();
    let command = Command::new("/usr/bin/python3", workspace.path()).args(["-c", script]);
    (workspace, command)
}

/// Every line is an attack; it prints what it has reached.
const ATTACKS: &str = r#"
import os, socket, sys, urllib.request, urllib.error
port = int(sys.argv[1]); udp = int(sys.argv[2]); own = sys.argv[3]
def tried(name, attack):
    try:
        print(name, "REACHED", attack())
    except OSError as error:
        print(name, "held", type(error).__name__, error)
def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(5); s.connect(address)
def send(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(address); s.send(b"x"); s.settimeout(0.2)
        return s.recv(1)
def fetch(url):
    return urllib.request.urlopen(url, timeout=20).read().decode()
tried("loopback", lambda: connect(socket.AF_INET, ("127.0.0.1", port)))
tried("loopback6", lambda: connect(socket.AF_INET6, ("::1", port)))
tried("own_address", lambda: connect(socket.AF_INET, (own, port)))
tried("any_address", lambda: connect(socket.AF_INET, ("1.1.1.1", 443)))
tried("metadata", lambda: connect(socket.AF_INET, ("169.254.169.254", 80)))
tried("udp", lambda: send(("127.0.0.1", udp)))
tried("dns", lambda: send(("8.8.8.8", 53)))
tried("local_dns", lambda: send(("127.0.0.53", 53)))
tried("names", lambda: socket.getaddrinfo("pypi.org", 443))
tried("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
tried("packets", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
tried("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
tried("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
tried("refused_host", lambda: fetch(f"http://two.test:{port}/"))
tried("tunnel_to_refused_host", lambda: fetch(f"https://two.test:{port}/"))
tried("private_name", lambda: fetch(f"http://localhost:{port}/"))
print("allowed", fetch(f"http://one.test:{port}/"))
"#;

#[tokio::test]
async fn only_what_the_proxy_lets_through_is_reached() {
    let Some(sandbox) = sandbox() else { return };
    // On every address of this machine.
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let upstream = Upstream::start(fine()).await;
    let everywhere = TcpListener::bind(("0.0.0.0", port)).await.unwrap();
    let datagrams = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    let own = {
        let way_out = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let found = way_out.connect("192.0.2.1:9").await.and_then(|()| way_out.local_addr());
        found.map_or_else(|_| "127.0.0.2".to_owned(), |address| address.ip().to_string())
    };
    let proxy = Proxy::new(policy(&[format!("one.test:{}", upstream.port)]));
    let (_workspace, command) = python(&sandbox, ATTACKS);
    let udp = datagrams.local_addr().unwrap().port();
    let command = command.args([upstream.port.to_string(), udp.to_string(), own]);
    let finished = run(&sandbox, &proxy.give_to(command)).await.unwrap();
    let said = String::from_utf8_lossy(&finished.stdout);
    assert!(finished.succeeded(), "{said}{}", String::from_utf8_lossy(&finished.stderr));
    assert!(!said.contains("REACHED"), "{said}");
    assert_eq!((said.matches(" held ").count(), said.lines().last()), (16, Some("allowed fine")), "{said}");
    assert!(datagrams.try_recv(&mut [0]).is_err(), "a datagram arrived");
    drop(everywhere);
    assert_eq!(upstream.heard().matches("GET / ").count(), 1);
    let refused = proxy.take_traffic().into_iter().filter(|traffic| traffic.refused > 0);
    let refused: Vec<_> =
        refused.map(|traffic| (traffic.host, traffic.refused, traffic.why.unwrap())).collect();
    let named = |host: &str, count, why| (format!("{host}:{}", upstream.port), count, why);
    assert_eq!(refused, [named("two.test", 2, "not_granted")]);
}

#[tokio::test]
async fn without_a_network_of_its_own_a_command_is_refused_and_says_why() {
    for level in [Level::Landlock, Level::ProcessOnly] {
        let sandbox = at(level);
        assert!(!sandbox.can_serve());
        let workspace = sandbox.workspace().unwrap();
        let command = Proxy::new(policy::<&str>(&[])).give_to(Command::new("true", workspace.path()));
        let error = run(&sandbox, &command).await.unwrap_err().to_string();
        assert!(error.contains("takes bubblewrap") && error.contains(&level.to_string()), "{error}");
    }
}

/// A process that left its session and its parent with a connection through the proxy open ends with the command, and
/// so does the connection.
#[tokio::test]
async fn a_connection_ends_with_the_command_whoever_holds_it() {
    let Some(sandbox) = sandbox() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = Proxy::new(policy(&[format!("one.test:{port}")]));
    let daemon = format!(
        "import os, socket, time\n\
         ready = os.pipe()\n\
         if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n    \
         s = socket.create_connection(('127.0.0.1', 3128))\n    \
         s.sendall(b'GET http://one.test:{port}/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n    \
         s.recv(1)\n    os.write(ready[1], b'x')\n    time.sleep(1000)\n\
         os.read(ready[0], 1)\n"
    );
    let (_workspace, command) = python(&sandbox, &daemon);
    let command = proxy.give_to(command.limits(Limits::default()));
    let (finished, mut held) = tokio::join!(run(&sandbox, &command), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
            .await
            .unwrap();
        stream
    });
    assert!(finished.as_ref().unwrap().succeeded(), "{finished:?}");
    assert!(matches!(held.read(&mut [0]).await, Ok(0) | Err(_)), "the connection is still there");
}

#[tokio::test]
async fn several_commands_have_each_a_network_of_their_own() {
    let Some(sandbox) = sandbox() else { return };
    let upstream = Upstream::start(fine()).await;
    let proxy = Proxy::new(policy(&[format!("one.test:{}", upstream.port)]));
    let script = format!(
        "import http.server, threading, urllib.request\n\
         server = http.server.HTTPServer(('localhost', 8000), http.server.SimpleHTTPRequestHandler)\n\
         threading.Thread(target=server.serve_forever, daemon=True).start()\n\
         print(urllib.request.urlopen('http://localhost:8000/').status)\n\
         print(urllib.request.urlopen('http://one.test:{}/').read().decode())\n",
        upstream.port
    );
    let runs = (0..8).map(|_| async {
        let (_workspace, command) = python(&sandbox, &script);
        let finished = run(&sandbox, &proxy.give_to(command)).await.unwrap();
        assert_eq!(finished.stdout, b"200\nfine\n", "{}", String::from_utf8_lossy(&finished.stderr));
    });
    futures::future::join_all(runs).await;
    assert_eq!(proxy.take_traffic()[0].passed, 8);
}
