//! A service that tries what it may and what it may not, and prints how each try ended.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

/// Tries. Each line is what was tried, and how it ended.
pub(crate) fn run(name: &str) {
    let tell = |what: &str, outcome: io::Result<()>| match outcome {
        Ok(()) => println!("{what}: works"),
        Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::ACCESS) => println!("{what}: refused"),
            Some(Errno::NETUNREACH) => println!("{what}: no way there"),
            Some(Errno::AFNOSUPPORT) => println!("{what}: unknown"),
            _ => println!("{what}: {error}"),
        },
    };
    let read = |path: &str| fs::read(path).map(|_| ());
    tell("read its own credentials", read(&format!("/run/credentials/{name}/scenario")));
    tell("read /proc", read("/proc/self/status"));
    // Anybody's by its mode.
    tell("read another's folder", read("/scenario/readable"));
    tell("read its arguments", read(&format!("/run/services/{name}.args")));
    tell("list the root", fs::read_dir("/").map(|_| ()));
    tell("write its data", fs::write("/var/lib/store/file", "x"));
    let (name_one, name_two) = ("/var/lib/store/file", "/var/lib/store/other");
    tell("move its data", fs::rename(name_one, name_two).and_then(|()| fs::rename(name_two, name_one)));
    tell("write into /tmp", fs::write("/tmp/file", "x"));
    tell("write its credentials", fs::write(format!("/run/credentials/{name}/scenario"), "x"));
    for port in [2379, 6443, 10257] {
        tell(&format!("listen on {port}"), TcpListener::bind(("0.0.0.0", port)).map(|_| ()));
    }
    for port in [6443, 7000] {
        tell(&format!("connect to {port}"), TcpStream::connect(("127.0.0.1", port)).map(|_| ()));
    }
    let netlink = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None);
    tell("talk to the kernel's network", netlink.map(|_| ()).map_err(Into::into));
    tell("have a thread", std::thread::Builder::new().spawn(|| ()).map(|thread| thread.join().expect("its end")));
}
