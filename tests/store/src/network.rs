//! A network of the test's own: one namespace for each member, on one bridge. Packets from one member to another can be
//! dropped, in one direction only. Needs root, or `sudo` that asks for nothing.

use std::net::Ipv4Addr;
use std::process::Command;

/// A network; gone when dropped.
#[derive(Debug)]
pub struct Network {
    /// Tells networks of tests apart that run at once.
    number: u32,
    size: usize,
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id is there");
    id.stdout.trim_ascii() == b"0"
}

/// A command that runs as root.
fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

fn ip(args: &str) -> bool {
    let output = as_root("ip").args(args.split(' ')).output().expect("ip is there");
    if !output.status.success() {
        eprintln!("ip {args}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    output.status.success()
}

fn must(args: &str) {
    assert!(ip(args), "`ip {args}` failed: namespaces need root, or sudo without a password");
}

impl Network {
    /// Makes namespaces for this many members.
    pub fn new(size: usize) -> Self {
        let network = Self { number: std::process::id(), size };
        let bridge = network.bridge();
        must(&format!("link add {bridge} type bridge"));
        must(&format!("addr add {}/24 dev {bridge}", network.address(254)));
        must(&format!("link set {bridge} up"));
        for index in 0..size {
            let (name, outside) = (network.namespace(index), network.outside(index));
            must(&format!("netns add {name}"));
            must(&format!("link add {outside} type veth peer name eth0 netns {name}"));
            must(&format!("link set {outside} master {bridge} up"));
            must(&format!("-n {name} addr add {}/24 dev eth0", network.host(index)));
            must(&format!("-n {name} link set eth0 up"));
            must(&format!("-n {name} link set lo up"));
            // Rules in front of the one that takes packets for this host in.
            must(&format!("-n {name} rule add pref 100 lookup local"));
            must(&format!("-n {name} rule del pref 0"));
        }
        network
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        // From the range for measurements of networks, where nobody's real ones are.
        let [.., high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(198, 18 + (high & 1), low, last)
    }

    fn bridge(&self) -> String {
        format!("orlop{:x}", self.number)
    }

    fn outside(&self, index: usize) -> String {
        format!("orlop{:x}m{index}", self.number)
    }

    fn namespace(&self, index: usize) -> String {
        format!("orlop{:x}m{index}", self.number)
    }

    /// The address of a member.
    pub fn host(&self, index: usize) -> Ipv4Addr {
        self.address(index as u8 + 1)
    }

    /// Runs a program in the namespace of a member.
    pub fn command(&self, index: usize, program: &Command) -> Command {
        let mut command = as_root("ip");
        command.args(["netns", "exec", &self.namespace(index)]).arg(program.get_program()).args(program.get_args());
        command
    }

    /// Drops everything one member sends to another.
    pub fn drop_packets(&self, from: usize, to: usize) {
        must(&format!(
            "-n {} rule add pref {} from {} iif eth0 blackhole",
            self.namespace(to),
            10 + from,
            self.host(from)
        ));
    }

    /// Lets packets through again.
    pub fn let_through(&self, from: usize, to: usize) {
        must(&format!("-n {} rule del pref {}", self.namespace(to), 10 + from));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for index in 0..self.size {
            ip(&format!("netns del {}", self.namespace(index)));
        }
        ip(&format!("link del {}", self.bridge()));
    }
}
