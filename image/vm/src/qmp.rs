//! QEMU's control socket: one command at a time, in JSON lines.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::folder;

/// QEMU answers in milliseconds; one that has not after this long will not.
const ANSWER: Duration = Duration::from_secs(5);
/// A longer line is not an answer to anything asked here.
const LONGEST_LINE: u64 = 1 << 20;

/// A connection to a running QEMU.
pub struct Control {
    reader: BufReader<UnixStream>,
}

impl Control {
    /// Connects to the socket `name` in `folder`.
    pub fn connect(folder: &Path, name: &str) -> io::Result<Self> {
        Self::greet(folder::connect(folder, name)?)
    }

    fn greet(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let mut control = Self { reader: BufReader::new(stream) };
        let greeting = control.read()?;
        if greeting.get("QMP").is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the control socket does not greet as QEMU does"));
        }
        control.execute("qmp_capabilities")?;
        Ok(control)
    }

    /// Runs a command without arguments and returns its answer.
    pub fn execute(&mut self, command: &str) -> io::Result<Value> {
        let mut line = json!({ "execute": command }).to_string();
        line.push('\n');
        self.reader.get_mut().write_all(line.as_bytes())?;
        loop {
            let mut answer = self.read()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(io::Error::other(format!("{command}: {error}")));
            }
            // Anything else is an event that nobody here waits for.
        }
    }

    fn read(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        let read = self.reader.by_ref().take(LONGEST_LINE).read_line(&mut line)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_str(&line).map_err(io::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_between_question_and_answer_are_passed_over() {
        let (here, there) = UnixStream::pair().unwrap();
        let answers = std::thread::spawn(move || {
            let mut there = BufReader::new(there);
            let mut asked = Vec::new();
            there.get_mut().write_all(b"{\"QMP\": {}}\r\n").unwrap();
            for answer in [
                "{\"return\": {}}\r\n",
                "{\"event\": \"RTC_CHANGE\"}\r\n{\"return\": {\"status\": \"running\"}}\r\n",
                "{\"error\": {\"class\": \"CommandNotFound\"}}\r\n",
            ] {
                let mut line = String::new();
                there.read_line(&mut line).unwrap();
                asked.push(line);
                there.get_mut().write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        let mut control = Control::greet(here).unwrap();
        assert_eq!(control.execute("query-status").unwrap()["status"], "running");
        assert!(control.execute("no-such").unwrap_err().to_string().contains("CommandNotFound"));
        assert_eq!(answers.join().unwrap()[1], "{\"execute\":\"query-status\"}\n");
    }

    #[test]
    fn another_servers_greeting_is_refused() {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"{}\n").unwrap();
        assert!(Control::greet(here).is_err());
    }
}
